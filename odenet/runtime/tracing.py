"""Flows within graphs: one node to torch.fx, and what TorchScript cannot have of them."""

from typing import Any, NoReturn

import torch
from torch import nn
from torch.fx import Proxy


def as_node(module: nn.Module, u: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
    """The call of a module as one node of the graph that is being traced.

    Raises:
        TypeError: if nothing is traced, and the input is not a tensor.
    """
    if not isinstance(u, Proxy):
        raise TypeError(f"{type(module).__name__} takes a tensor, not a {type(u).__name__}")
    tracer: Any = u.tracer
    name = tracer.path_of_module(module)
    return tracer.create_proxy("call_module", name, (u, *args), kwargs or {})


OTHERWISE = (
    "torch.export.export(network, (x,)) writes it whole, and so does "
    "`odenet export RUN -o network.pt2`"
)


def refuse_script(module: nn.Module) -> NoReturn:
    """Say why a flow cannot be compiled by torch.jit.script.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        f"torch.jit.script cannot compile {type(module).__name__}: a flow chooses in Python how "
        f"its steps are run and differentiated; {OTHERWISE}"
    )


def tracing() -> bool:
    """Whether torch.jit.trace is under way."""
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def refuse_trace(name: str) -> None:
    """Refuse to trace the backward pass of a flow, which torch.jit.trace would lose.

    Args:
        name: of the flow.

    Raises:
        NotImplementedError: if torch.jit.trace is under way.
    """
    if tracing():
        raise NotImplementedError(
            f"torch.jit.trace cannot hold the backward pass of {name}, which computes states anew: "
            f"{OTHERWISE}; to trace its forward pass alone do so within torch.no_grad()"
        )
