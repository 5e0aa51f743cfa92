"""Flows within graphs that torch.fx traces: a flow is one node."""

from __future__ import annotations

from typing import Any

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
