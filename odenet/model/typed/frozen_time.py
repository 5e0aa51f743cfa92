"""Equations that depend on `t`, with the time fixed: proofs are about these."""

from dataclasses import replace

from odenet.model.expressions.expr import LearnedScalar, Node, Time
from odenet.model.expressions.fold import map_children
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.declared_parameters import declare
from odenet.model.typed.program import Model

FROZEN_TIME = "the time"  # its canonical name; a file cannot declare it, and messages show `t`
_SCALAR_TYPE = Call("scalar", kwargs={"positive": "positive", "init": Call("ones")})


def freeze_time(model: Model) -> Model:
    """The model with `t` replaced by a positive learned scalar, of which nothing else is known.

    What is true of its Jacobian for all values of parameters is true at all times.
    """
    if model.first_time_node is None:
        return model
    span = model.first_time_node.span or model.end_span
    time = declare(FROZEN_TIME, _SCALAR_TYPE, shared=True, span=span)
    rates = {name: _without_time(rate) for name, rate in model.dynamics.rates.items()}
    return replace(
        model,
        parameters={**model.parameters, FROZEN_TIME: time},
        spellings={**model.spellings, FROZEN_TIME: "t"},
        dynamics=replace(model.dynamics, rates=rates),
    )


def reads_time(node: Node) -> bool:
    """Whether a formula of a model after `freeze_time` depends on the time."""
    return any(isinstance(n, LearnedScalar) and n.name == FROZEN_TIME for n in node.walk())


def _without_time(node: Node) -> Node:
    if isinstance(node, Time):
        return LearnedScalar(FROZEN_TIME, span=node.span)
    return map_children(node, _without_time)
