"""The equations and the step of a program as LaTeX."""

from odenet.derive import Derivation
from odenet.derive.scheme_notation import scheme_notation
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


def initial(model: Model) -> str:
    """The values at time 0 as they follow from the input u, and the output, aligned."""
    dynamics, dialect = model.dynamics, LATEX.dialect
    rows = [
        f"{dialect.derivative(state.name, state.order)}(0) &= {LATEX.show(value)}"
        for state, value in dynamics.initial.items()
    ]
    return aligned([*rows, f"{dialect.word('output')} &= {LATEX.show(dynamics.output)}"])


def update_lines(scheme: Scheme) -> str:
    """The update lines of a scheme, aligned."""
    return aligned([f"{LATEX.show(u.target)} &= {LATEX.show(u.value)}" for u in scheme.updates])


def inverse(derivation: Derivation) -> str:
    """The lines of the inverse step, aligned; of a derivation that has one."""
    notation = scheme_notation(derivation.scheme, latex=True)
    lines = derivation.inverse or ()
    return aligned([f"{notation.show(u.target)} &= {notation.show(u.value)}" for u in lines])


def inverse_proof(derivation: Derivation) -> str:
    """The step put into its inverse, line by line, aligned."""
    return aligned([line.replace(" = 0", " &= 0") for line in derivation.latex_proof])


def aligned(rows: list[str]) -> str:
    """Rows of an aligned display."""
    body = " \\\\\n".join(f"  {row}" for row in rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
