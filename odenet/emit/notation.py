"""Formulas as they are written in the specification, for docstrings and reports."""

import re

from odenet.diagnostics import Span
from odenet.model.expressions.expr import with_primes
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme


def source_text(span: Span | None) -> str:
    """The source text of a span on one line, without comments and with `ᵀ` for `^T`."""
    if span is None:
        return ""
    text = re.sub(r"#[^\n]*", "", span.text)
    return re.sub(r"\s+", " ", text).replace("^T", "ᵀ").strip()


def equations(model: Model) -> list[str]:
    """The differential equations, one per line."""
    dynamics = model.dynamics
    return [
        f"{with_primes(model.spellings[name], order)} = {source_text(dynamics.rates[name].span)}"
        for name, order in dynamics.states.items()
    ]


def update_lines(scheme: Scheme) -> list[str]:
    """The update lines of a scheme."""
    return [source_text(update.span) for update in scheme.updates]


def let_definitions(model: Model) -> list[str]:
    """The definitions of the lets of the file, those of activations included."""
    return [f"{let.name.spelling} = {source_text(let.value.span)}" for let in model.lets]


def discretisation(model: Model) -> str:
    """The scheme with its constants: `verlet, h = 0.1`."""
    chosen = model.discretisation
    spellings = model.scheme.spellings
    constants = [f"{spellings.get(k, k)} = {v}" for k, v in chosen.displayed_constants.items()]
    return ", ".join([model.scheme.name, *constants])
