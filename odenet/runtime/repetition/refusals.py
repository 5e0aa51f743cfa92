"""Errors and warnings for code whose gradients would be wrong with rebuilt states.

Examples are second derivatives, `torch.func`, and tensors that enter or leave a right-hand side
other than as its inputs and outputs.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_AccumulateGrad = torch._C._functions.AccumulateGrad  # pyright: ignore[reportAttributeAccessIssue]
_warnings_given: set[tuple[str, str]] = set()  # class of a module and name of an attribute


def refuse(use: str) -> NoReturn:
    """Refuses a use that only plain autograd supports.

    Args:
        use: what is refused, completing "a backward without stored activations cannot be …".

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        f"a backward without stored activations cannot be {use}; "
        'set flow.memory = "stored", which uses plain autograd and can'
    )


def refuse_in_backward(gradients: Iterable[Tensor | None]) -> None:
    """Refuses second derivatives, and what `refuse_transforms` refuses; called in a backward pass.

    Raises:
        RuntimeError: in both cases.
    """
    refuse_transforms(gradients)
    if torch.is_grad_enabled():
        refuse("differentiated twice")


def refuse_transforms(gradients: Iterable[Tensor | None] = ()) -> None:
    """Refuses to run within a transform of `torch.func`, or with a batch of gradients.

    Raises:
        RuntimeError: if that is the case.
    """
    is_batched = any(g is not None and _functorch.is_legacy_batchedtensor(g) for g in gradients)
    if is_batched or _functorch.peek_interpreter_stack() is not None:
        refuse(
            "differentiated or vectorised by torch.func (grad, vjp, jacrev, jvp, jacfwd, vmap), or "
            "with is_grads_batched or vectorize"
        )


def refuse_types(flow: Any, state: Iterable[Tensor]) -> None:
    """Refuses states of integers, and of floating point with fewer than 16 bits.

    Raises:
        TypeError: if there is one.
    """
    for tensor in state:
        if tensor.itemsize < 2 or not (tensor.is_floating_point() or tensor.is_complex()):
            raise TypeError(
                f"the steps of {type(flow).__name__} are rebuilt on floating point of 16 bits or "
                f'more, not {tensor.dtype}: give u.float(), or set flow.memory = "stored"'
            )


class _RefuseGradient(torch.autograd.Function):
    """The identity, whose backward raises an error; see `refusing_gradient`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The same value."""
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        """Called if a result that was kept outside of the flow is differentiated."""
        raise RuntimeError(
            "a value that a block computed in the forward pass of rebuilt steps was kept, and is "
            'differentiated: let the block return it as well, (y, {"name": value}), and read the '
            'sum over all steps from flow.collected["name"], or set flow.memory = "stored"'
        )


def refusing_gradient(tensor: Tensor) -> Tensor:
    """A copy of a tensor for the forward pass, which requires a gradient but refuses to get one.

    The copy requires a gradient, as the tensor does in the backward pass, since a module may ask
    for `requires_grad`. It refuses to get one, since derivatives are computed in a repetition of
    the evaluation, with another copy.
    """
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor
    return _RefuseGradient.apply(tensor.detach().requires_grad_())


def graph_nodes(values: Iterable[Tensor], stop: Iterable[Any] = ()) -> list[Any]:
    """The nodes of autograd's graph that values depend on, each once.

    Args:
        values: the values.
        stop: nodes that are left out, with all that only they depend on.
    """
    seen = {None, *stop}
    nodes: list[Any] = [n for n in dict.fromkeys(v.grad_fn for v in values) if n not in seen]
    seen.update(nodes)
    for node in nodes:  # the list grows meanwhile
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                nodes.append(following)
    return nodes


def is_checkpointed(nodes: Iterable[Any]) -> bool:
    """Whether `checkpoint(use_reentrant=True)` made a node; such a node needs a full `backward`."""
    return any(type(node).__name__ == "CheckpointFunctionBackward" for node in nodes)


def refuse_captured(flow: Any, nodes: Iterable[Any], leaves: Sequence[Tensor]) -> None:
    """Refuses evaluations that read a tensor which is not an input: it would get no gradient.

    Args:
        flow: for the names of its parameters.
        nodes: the nodes of the evaluation's graph.
        leaves: all its inputs that require gradients.

    Raises:
        RuntimeError: if there is another leaf in the graph.
    """
    leaf_ids = {id(leaf) for leaf in leaves}
    for node in nodes:
        captured = node.variable if type(node) is _AccumulateGrad else None
        if captured is not None and id(captured) not in leaf_ids:
            raise RuntimeError(
                f"a right-hand side of {type(flow).__name__} reads {_describe(flow, captured)}, "
                "which needs a gradient and is not among its inputs, where rebuilt steps would see "
                "it: pass it with the state, flow(u, tensor), make it a parameter of the step's "
                'own module, or set flow.memory = "stored"'
            )


def detach_kept_results(modules: Iterable[nn.Module], earlier_graphs: Mapping[int, Any]) -> None:
    """Detaches results that modules keep in attributes, whose graphs would hold activations.

    It warns of them by name, since they get no gradient.

    Args:
        modules: those that have been evaluated.
        earlier_graphs: by `id` of a tensor, the graph that it had before, which it keeps.
    """
    for module in modules:
        for holder in (module.__dict__, module._buffers):
            for name, value in holder.items():
                graph = value.grad_fn if isinstance(value, Tensor) else None
                if graph is None or earlier_graphs.get(id(value)) is graph:
                    continue
                holder[name] = value.detach()  # pyright: ignore[reportOptionalMemberAccess]
                if not _is_computed_weight(module, name):
                    _warn_of_kept_result(module, name)


def _is_computed_weight(module: nn.Module, name: str) -> bool:
    """Whether `weight_norm` or `spectral_norm` computes the attribute before each evaluation."""
    return any(f"{name}_{end}" in module._parameters for end in ("orig", "g"))


def _warn_of_kept_result(module: nn.Module, name: str) -> None:
    class_name = type(module).__name__
    _warn_once(
        (class_name, name),
        f"{class_name} keeps `{name}`, a result of its evaluation, on itself: rebuilt steps "
        f'give it no gradient. Let the block return it as well, (y, {{"{name}": value}}), and '
        f'read the sum over all steps from flow.collected["{name}"]',
    )


def _warn_once(key: tuple[str, str], message: str) -> None:
    if key not in _warnings_given:
        _warnings_given.add(key)
        warnings.warn(message, stacklevel=3)


def _describe(flow: Any, tensor: Tensor) -> str:
    for name, parameter in flow.named_parameters():
        if parameter is tensor:
            return f"the parameter {name}"
    return f"a tensor of shape {tuple(tensor.shape)}"


def warn_of_hooks(modules: Iterable[nn.Module]) -> None:
    """Warns that results which a forward hook keeps have no gradient in rebuilt steps."""
    for class_name in (type(m).__name__ for m in modules if m._forward_hooks):
        _warn_once(
            (class_name, ""),
            f"a forward hook on {class_name} is called in both passes of rebuilt steps, and what "
            "it keeps in the forward pass has no gradient: let the block return it, or set "
            'flow.memory = "stored"',
        )
