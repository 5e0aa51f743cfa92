"""Flows under torch.fx, where they are a single node, and under TorchScript, which is refused."""

from typing import Any, NoReturn

import torch
from torch import nn
from torch.fx import Proxy


def as_node(module: nn.Module, u: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """The call of a module as one node of the torch.fx graph that is being traced.

    Args:
        module: the module that is called.
        u: its input, a `Proxy` of torch.fx.
        args: its further arguments.
        kwargs: its keyword arguments.

    Raises:
        TypeError: if the input is neither a tensor nor a `Proxy`.
    """
    if not isinstance(u, Proxy):
        raise TypeError(f"{type(module).__name__} takes a tensor, not a {type(u).__name__}")
    tracer: Any = u.tracer
    name = tracer.path_of_module(module)
    return tracer.create_proxy("call_module", name, (u, *args), kwargs or {})


USE_EXPORT = (
    "torch.export.export(network, (x,)) exports all of it, and so does "
    "`odenet export RUN -o network.pt2`"
)


def refuse_script(module: nn.Module) -> NoReturn:
    """Explains why a flow cannot be compiled by torch.jit.script.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        f"torch.jit.script cannot compile {type(module).__name__}: a flow chooses in Python how "
        f"its steps are run and differentiated; {USE_EXPORT}"
    )


def is_tracing() -> bool:
    """Whether torch.jit.trace is under way."""
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def refuse_trace(name: str) -> None:
    """Refuses to trace a flow with gradients, since torch.jit.trace would lose its backward pass.

    Args:
        name: the name of the flow's class.

    Raises:
        NotImplementedError: if torch.jit.trace is under way.
    """
    if is_tracing():
        raise NotImplementedError(
            f"torch.jit.trace cannot hold the backward pass of {name}, which computes states anew: "
            f"{USE_EXPORT}; to trace its forward pass alone do so within torch.no_grad()"
        )
