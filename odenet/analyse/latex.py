"""A proof as LaTeX."""

from collections.abc import Iterable
from fractions import Fraction

from odenet.analyse.conditions import Part
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import ONE, Monomial, Scalar, fraction, signed_sum
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Word
from odenet.analyse.squares import Square
from odenet.model.typed.dialects import latex_prose, latex_text
from odenet.model.typed.notation import LATEX


def certificate(parts: tuple[Part, ...], verdict: str, summary: str) -> str:
    """The verdict in words; M, C and the condition of each part as a display."""
    words = latex_prose(f"{summary[0].upper()}{summary[1:]}.")
    if not parts:
        return words
    lines = list(_blocks(parts))
    where = {"imaginary": "\\subset i\\mathbb{R}", "real": "\\subset (-\\infty, 0]"}
    conclusion = where.get(verdict, "\\subset \\{\\operatorname{Re} \\lambda \\le 0\\}")
    lines.append(f"\\operatorname{{spec}} J &{conclusion}")
    body = " \\\\\n".join(f"  {line}" for line in lines)
    return f"{words}\n\\[\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n\\]"


def _blocks(parts: tuple[Part, ...]) -> Iterable[str]:
    """The rows of all parts; where they are several, those of the block J₁ begin with its name."""
    if len(parts) == 1:
        yield from display(parts[0])
        return
    spectra = [f"\\operatorname{{spec}} J_{{{i}}}" for i, _ in enumerate(parts, start=1)]
    yield "\\operatorname{spec} J &= " + " \\cup ".join(spectra)
    for number, part in enumerate(parts, start=1):
        first, *others = list(display(part)) or ["J &= 0"]
        yield from (f"J_{{{number}}}\\colon \\quad {first}", *others)


def display(part: Part) -> Iterable[str]:
    """The rows of a part: its decay, M, C and the condition that they meet."""
    if part.decay:
        entries = [
            f"{scalar(number)}\\,I \\text{{ on }} {LATEX.show(state)}"
            for state, number in part.decay.items()
        ]
        yield f"J &= J_0 - \\Gamma, \\quad \\Gamma = {', '.join(entries)}"
    if not part.units:
        return
    yield f"M = R L &= {matrix(part.matrix)}"
    if part.nilpotent:
        return
    yield f"C &= {_scaling(part)} \\succ 0"
    product = "C M"
    if part.allowance:
        product = "C (M - A)"
        numbers = ", ".join(map(scalar, part.allowance))
        rate = "" if part.rate is None else f", \\quad r = {scalar(part.rate)}"
        decay = "\\Gamma" if part.rate is None else "(\\Gamma - r)"
        yield f"A &= {decay} S^{{-1}} = \\operatorname{{diag}}({numbers}){rate}"
    left = f"{product} + ({product})^\\top"
    left = f"{product} = ({product})^\\top" if part.spectrum == "real" else left
    yield f"{left} &= {_squares(part.squares)}"


def _scaling(part: Part) -> str:
    if not part.scales_diagonally:
        return matrix(part.scaling)
    weights = ", ".join(operator(w) if w.scalar is None else scalar(w.scalar) for w in part.weights)
    return f"\\operatorname{{diag}}({weights})"


def matrix(entries: Matrix) -> str:
    """A matrix of operators."""
    rows = [" & ".join(operator(entry) for entry in row) for row in entries]
    return "\\begin{bmatrix} " + " \\\\ ".join(rows) + " \\end{bmatrix}"


def _squares(found: tuple[Square, ...]) -> str:
    if not found:
        return "0"
    rows = [(_factor(square.weight), matrix((square.row,))) for square in found]
    terms = signed_sum((-1, f"{size}{row}^\\top {row}") for size, row in rows)
    return f"{terms} \\preceq 0"


def _factor(value: Scalar) -> str:
    """A number before what it multiplies; nothing for 1."""
    if len(value.terms) > 1:
        return f"\\left({scalar(value)}\\right)"
    return "" if value == ONE else f"{scalar(value)}\\,"


def operator(value: Operator) -> str:
    """A sum of words."""
    return signed_sum(_term(word, factor) for word, factor in value.terms)


def _term(word: Word, factor: Scalar) -> tuple[int, str]:
    return factor.sign, _factor(factor.unsigned) + (
        " ".join(_letter(letter) for letter in word) or "I"
    )


def _letter(letter: Letter | Diagonal) -> str:
    if isinstance(letter, Letter):
        return latex_text(letter.name) + ("^{\\top}" if letter.adjoint else "")
    return " ".join(_power(base, power) for base, power in letter.powers)


def _power(base: str, power: object) -> str:
    shown = latex_text(base)
    if power == 1:
        return shown
    return f"{shown if base.isidentifier() else LATEX.dialect.brackets(shown)}^{{{power}}}"


def scalar(value: Scalar) -> str:
    """A number: monomials with their signs, quotients as fractions."""
    return signed_sum((c, _monomial(m, abs(c))) for m, c in value.terms)


def _monomial(monomial: Monomial, number: Fraction) -> str:
    above, below = fraction(monomial, number, _power)
    text = " ".join(above)
    return f"\\frac{{{text}}}{{{' '.join(below)}}}" if below else text
