"""A parameter that a file declares with `param`."""

from dataclasses import dataclass, field
from typing import Any

from odenet.diagnostics import Span
from odenet.model.expressions.numbers import STATE_WIDTH, Width
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.parameter_kinds import Operator, ParameterKind
from odenet.model.tables.parameters import PARAMETERS, is_positive


@dataclass(frozen=True, kw_only=True)
class DeclaredParameter:
    """A declared parameter, resolved.

    Args:
        name: its canonical name.
        type: a name in PARAMETERS.
        shared: whether all steps of a flow have the same value, not one each.
        options: the arguments of the type by name, complete with defaults.
        width_in, width_out: its input and output channels; None for a scalar. A parameter
            that has those of its operand gets them at its first use (see fitting/widths.py).
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
        """The number of knots in time between which it is interpolated; 0 for a value per step."""
        return int(self.options.get("knots", 0))

    @property
    def groups(self) -> int:
        """The number of equal groups that its channels have to fall into."""
        return self.kind.groups(self.options)

    @property
    def operator(self) -> Operator:
        """How it acts; only for an operator."""
        assert self.kind.operator is not None
        return self.kind.operator

    @property
    def is_operator(self) -> bool:
        """Whether it is a linear operator."""
        return self.kind.role == "operator"

    @property
    def is_module(self) -> bool:
        """Whether it is a torch module, a normalisation, rather than a tensor."""
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
    """The parameter of a `param` line, from its name, the checked call of its type and `shared`."""
    options = dict(call.kwargs)
    match PARAMETERS[call.name].width_source:
        case "arguments":
            width_in, width_out = options["in"], options["out"]
        case "state":
            width_in = width_out = STATE_WIDTH
        case _:
            width_in = width_out = None
    return DeclaredParameter(
        name=name,
        type=call.name,
        shared=shared,
        options=options,
        width_in=width_in,
        width_out=width_out,
        span=span,
    )
