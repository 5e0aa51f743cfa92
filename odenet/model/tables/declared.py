"""A parameter as a file declares it."""

from dataclasses import dataclass, field
from typing import Any

from odenet.diagnostics import Span
from odenet.model.expressions.numbers import C, Width
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.parameter_kinds import Operator, ParameterKind
from odenet.model.tables.parameters import PARAMETERS, is_positive


@dataclass(frozen=True, kw_only=True)
class DeclaredParameter:
    """A declared parameter.

    Args:
        name: canonical name.
        type: one of PARAMETERS.
        shared: one value for all steps of a flow, instead of one for each.
        options: the type's arguments, complete.
        width_in, width_out: channels it reads and gives; None for a scalar. Those that come from
            its first use are found later (odenet/model/fitting/widths.py).
    """

    name: str
    type: str
    shared: bool
    options: dict[str, Any] = field(hash=False)
    width_in: Width | None
    width_out: Width | None
    span: Span = field(compare=False, repr=False)

    @property
    def kind(self) -> ParameterKind:
        """The row of its type."""
        return PARAMETERS[self.type]

    @property
    def knots(self) -> int:
        """Between how many values it moves in time; 0 for one value per step."""
        return int(self.options.get("knots", 0))

    @property
    def groups(self) -> int:
        """Into how many equal parts its channels fall."""
        return self.kind.groups(self.options)

    @property
    def operator(self) -> Operator:
        """What it does, if it is an operator."""
        assert self.kind.operator is not None
        return self.kind.operator

    @property
    def is_operator(self) -> bool:
        """Whether it is a linear operator."""
        return self.kind.role == "operator"

    @property
    def is_module(self) -> bool:
        """Whether it is a layer rather than a tensor."""
        return self.kind.role == "norm"

    @property
    def is_positive(self) -> bool:
        """Whether its values, or the gain of a norm, are above 0 by construction."""
        return is_positive(self.options)

    @property
    def is_diagonal(self) -> bool:
        """Whether it is an operator that multiplies every channel by a number."""
        return self.kind.operator is not None and self.kind.operator.diagonal


def declare(name: str, call: Call, shared: bool, span: Span) -> DeclaredParameter:
    """A parameter of a checked type."""
    options = dict(call.kwargs)
    match PARAMETERS[call.name].width:
        case "arguments":
            reads, gives = options["in"], options["out"]
        case "state":
            reads = gives = C
        case _:
            reads = gives = None
    return DeclaredParameter(
        name=name,
        type=call.name,
        shared=shared,
        options=options,
        width_in=reads,
        width_out=gives,
        span=span,
    )
