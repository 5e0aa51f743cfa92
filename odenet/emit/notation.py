"""Formulas as their author wrote them, for docstrings and reports."""

import re

from odenet.diagnostics import Span
from odenet.model.expressions.expr import derivative
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme


def written(span: Span | None) -> str:
    """The text of a place on one line: comments dropped, `^T` as `ᵀ`."""
    if span is None:
        return ""
    text = re.sub(r"#[^\n]*", "", span.text)
    return re.sub(r"\s+", " ", text).replace("^T", "ᵀ").strip()


def equations(model: Model) -> list[str]:
    """The differential equations, one a line."""
    dynamics = model.dynamics
    return [
        f"{derivative(model.spellings[name], order)} = {written(dynamics.rates[name].span)}"
        for name, order in dynamics.states.items()
    ]


def rule(scheme: Scheme) -> list[str]:
    """The update lines of a scheme."""
    return [written(update.span) for update in scheme.updates]


def where(model: Model) -> list[str]:
    """What the lets of the file mean, those of activations included."""
    return [f"{let.name.spelling} = {written(let.value.span)}" for let in model.lets]


def discretisation(model: Model) -> str:
    """The scheme with its constants: `verlet, h = 0.1`."""
    chosen = model.discretisation
    spelled = model.scheme.spellings
    constants = [f"{spelled.get(k, k)} = {value}" for k, value in chosen.shown.items()]
    return ", ".join([model.scheme.name, *constants])
