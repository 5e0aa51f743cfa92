"""The equations and the step of a program as LaTeX."""

from odenet.model.typed.notation import LATEX
from odenet.model.typed.program import Model
from odenet.model.typed.scheme import Scheme


def equations(model: Model) -> str:
    """The differential equations, aligned."""
    rows = [
        f"{LATEX.dialect.derivative(state, order)} &= {LATEX.show(model.dynamics.rates[state])}"
        for state, order in model.dynamics.states.items()
    ]
    return aligned(rows)


def rule(scheme: Scheme) -> str:
    """The lines of a step, aligned."""
    return aligned([f"{LATEX.show(u.target)} &= {LATEX.show(u.value)}" for u in scheme.updates])


def aligned(rows: list[str]) -> str:
    """Rows of an aligned display."""
    body = " \\\\\n".join(f"  {row}" for row in rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
