"""What a rebuilding backward pass cannot see is said by name, not differentiated wrongly."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_Leaf = torch._C._functions.AccumulateGrad  # pyright: ignore[reportAttributeAccessIssue]
_told: set[tuple[str, str]] = set()  # a module's class and what it keeps: said once


def refuse(what: str) -> NoReturn:
    """Says what only plain autograd can do.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        f"a backward without stored activations cannot be {what}; "
        'set flow.memory = "stored", which uses plain autograd and can'
    )


def refuse_in_backward(gradients: Iterable[Tensor | None]) -> None:
    """Looks for a second derivative, and for what `refuse_transforms` looks for.

    Raises:
        RuntimeError: if there is one.
    """
    refuse_transforms(gradients)
    if torch.is_grad_enabled():
        refuse("differentiated twice")


def refuse_transforms(gradients: Iterable[Tensor | None] = ()) -> None:
    """Looks for a transform of `torch.func` around, and for many gradients at once.

    Raises:
        RuntimeError: if there is one.
    """
    many = any(g is not None and _functorch.is_legacy_batchedtensor(g) for g in gradients)
    if many or _functorch.peek_interpreter_stack() is not None:
        refuse(
            "differentiated or vectorised by torch.func (grad, vjp, jacrev, jvp, jacfwd, vmap), or "
            "with is_grads_batched or vectorize"
        )


def refuse_types(flow: Any, state: Iterable[Tensor]) -> None:
    """Looks for a state that is not differentiated.

    Raises:
        TypeError: if there is one.
    """
    for tensor in state:
        if tensor.itemsize < 2 or not (tensor.is_floating_point() or tensor.is_complex()):
            raise TypeError(
                f"the steps of {type(flow).__name__} are rebuilt on floating point of 16 bits or "
                f'more, not {tensor.dtype}: give u.float(), or set flow.memory = "stored"'
            )


class _Watched(torch.autograd.Function):
    """A value as an evaluation of the forward pass reads it, of which no gradient may be asked."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The same value, as a node of the graph that refuses a gradient."""
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        """Somebody kept a result of the evaluation and differentiates it."""
        raise RuntimeError(
            "a value that a block computed in the forward pass of rebuilt steps was kept, and is "
            'differentiated: let the block return it as well, (y, {"name": value}), and read the '
            'sum over all steps from flow.collected["name"], or set flow.memory = "stored"'
        )


def watched(tensor: Tensor) -> Tensor:
    """A tensor that needs a gradient, as it does in the repetition, and refuses to be given one."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor
    return _Watched.apply(tensor.detach().requires_grad_())


def graph(values: Iterable[Tensor], before: Iterable[Any] = ()) -> list[Any]:
    """The nodes that values were computed by, each once, as far back as some others."""
    seen = {None, *before}
    nodes: list[Any] = [
        n for n in dict.fromkeys(value.grad_fn for value in values) if n not in seen
    ]
    seen.update(nodes)
    for node in nodes:  # which grows
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                nodes.append(following)
    return nodes


def checkpointed(nodes: Iterable[Any]) -> bool:
    """Whether `checkpoint(use_reentrant=True)` is among them: it is differentiated as a whole."""
    return any(type(node).__name__ == "CheckpointFunctionBackward" for node in nodes)


def refuse_captured(flow: Any, nodes: Iterable[Any], leaves: Sequence[Tensor]) -> None:
    """Looks for tensors that an evaluation read past what it was given.

    Args:
        flow: whose parameters are known by name.
        nodes: of the graph of what the evaluation gave.
        leaves: all that it was given.

    Raises:
        RuntimeError: if there is a tensor that needs a gradient, and would get none.
    """
    mine = {id(leaf) for leaf in leaves}
    for node in nodes:
        captured = node.variable if type(node) is _Leaf else None
        if captured is not None and id(captured) not in mine:
            raise RuntimeError(
                f"a right-hand side of {type(flow).__name__} reads {_name(flow, captured)}, which "
                "needs a gradient, past its inputs, where rebuilt steps do not see it: hand it "
                "over with the state, flow(u, tensor), make it a parameter of the step's own "
                'module, or set flow.memory = "stored"'
            )


def let_go(modules: Iterable[nn.Module], before: Mapping[int, Any]) -> None:
    """Takes the graphs off results that modules keep on themselves: they hold activations.

    It warns of them by name, since no gradient arrives there.

    Args:
        modules: that have been evaluated.
        before: graphs that tensors had before that, by `id` of the tensors; they stay.
    """
    for module in modules:
        for holder in (module.__dict__, module._buffers):
            for name, kept in holder.items():
                graph = kept.grad_fn if isinstance(kept, Tensor) else None
                if graph is None or before.get(id(kept)) is graph:
                    continue
                holder[name] = kept.detach()  # pyright: ignore[reportOptionalMemberAccess]
                if not _computed_weight(module, name):
                    _tell(module, name)


def _computed_weight(module: nn.Module, name: str) -> bool:
    """Whether a hook of torch's computes it before each evaluation, from a parameter."""
    return any(f"{name}_{end}" in module._parameters for end in ("orig", "g"))


def _tell(module: nn.Module, name: str) -> None:
    kind = type(module).__name__
    _warn_once(
        (kind, name),
        f"{kind} keeps `{name}`, a result of its evaluation, on itself: rebuilt steps "
        f'give it no gradient. Let the block return it as well, (y, {{"{name}": value}}), and '
        f'read the sum over all steps from flow.collected["{name}"]',
    )


def _warn_once(what: tuple[str, str], message: str) -> None:
    if what not in _told:
        _told.add(what)
        warnings.warn(message, stacklevel=3)


def _name(flow: Any, tensor: Tensor) -> str:
    for name, parameter in flow.named_parameters():
        if parameter is tensor:
            return f"the parameter {name}"
    return f"a tensor of shape {tuple(tensor.shape)}"


def warn_of_hooks(modules: Iterable[nn.Module]) -> None:
    """Warns that results seen by a forward hook have no gradient in rebuilt steps."""
    for kind in (type(module).__name__ for module in modules if module._forward_hooks):
        _warn_once(
            (kind, ""),
            f"a forward hook on {kind} is called in both passes of rebuilt steps, and what it "
            "keeps in the forward pass has no gradient: let the block return it, or set "
            'flow.memory = "stored"',
        )
