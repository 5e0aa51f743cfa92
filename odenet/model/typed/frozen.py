"""The equations at a fixed time, which is what is proved about them."""

from dataclasses import replace

from odenet.model.expressions.expr import LearnedScalar, Node, Time
from odenet.model.expressions.fold import rebuilt
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.declared import declare
from odenet.model.typed.program import Model

NOW = "the time"  # a canonical name that no file can declare, spelled `t`
_NUMBER = Call("scalar", kwargs={"positive": "positive", "init": Call("ones")})


def frozen(model: Model) -> Model:
    """The model with `t` as a number, never negative, of which nothing more is known.

    What is true of its Jacobian for all weights is true at every time.
    """
    if model.time is None:
        return model
    now = declare(NOW, _NUMBER, shared=True, span=model.time.span or model.equations)
    rates = {name: _at_a_time(rate) for name, rate in model.dynamics.rates.items()}
    return replace(
        model,
        parameters={**model.parameters, NOW: now},
        spellings={**model.spellings, NOW: "t"},
        dynamics=replace(model.dynamics, rates=rates),
    )


def reads_time(node: Node) -> bool:
    """Whether a formula of a frozen model reads the time."""
    return any(isinstance(n, LearnedScalar) and n.name == NOW for n in node.walk())


def _at_a_time(node: Node) -> Node:
    return (
        LearnedScalar(NOW, span=node.span) if isinstance(node, Time) else rebuilt(node, _at_a_time)
    )
