"""A proof as LaTeX."""

from collections.abc import Iterable
from fractions import Fraction

from odenet.analyse.conditions import ProofPart
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import ONE, Monomial, Scalar, fraction_texts, signed_sum
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Word
from odenet.analyse.squares import Square
from odenet.model.typed.dialects import latex_math, latex_prose
from odenet.model.typed.notation import LATEX


def certificate_latex(parts: tuple[ProofPart, ...], verdict: str, summary: str) -> str:
    """The verdict as a sentence, and M, C and the condition of each part as displayed equations."""
    sentence = latex_prose(f"{summary[0].upper()}{summary[1:]}.")
    if not parts:
        return sentence
    lines = list(_certificate_rows(parts))
    conclusions = {"imaginary": "\\subset i\\mathbb{R}", "real": "\\subset (-\\infty, 0]"}
    conclusion = conclusions.get(verdict, "\\subset \\{\\operatorname{Re} \\lambda \\le 0\\}")
    lines.append(f"\\operatorname{{spec}} J &{conclusion}")
    body = " \\\\\n".join(f"  {line}" for line in lines)
    return f"{sentence}\n\\[\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n\\]"


def _certificate_rows(parts: tuple[ProofPart, ...]) -> Iterable[str]:
    """The rows of all parts; if there are several, each starts with the name of its block, J₁."""
    if len(parts) == 1:
        yield from part_rows(parts[0])
        return
    spectra = [f"\\operatorname{{spec}} J_{{{i}}}" for i, _ in enumerate(parts, start=1)]
    yield "\\operatorname{spec} J &= " + " \\cup ".join(spectra)
    for number, part in enumerate(parts, start=1):
        first, *others = list(part_rows(part)) or ["J &= 0"]
        yield from (f"J_{{{number}}}\\colon \\quad {first}", *others)


def part_rows(part: ProofPart) -> Iterable[str]:
    """The rows of a part: its decay, M, C and the condition that they satisfy."""
    if part.decay:
        entries = [
            f"{scalar_latex(number)}\\,I \\text{{ on }} {LATEX.show(state)}"
            for state, number in part.decay.items()
        ]
        yield f"J &= J_0 - \\Gamma, \\quad \\Gamma = {', '.join(entries)}"
    if not part.units:
        return
    yield f"M = R L &= {matrix_latex(part.matrix)}"
    if part.nilpotent:
        return
    yield f"C &= {_scaling_latex(part)} \\succ 0"
    product = "C M"
    if part.allowance:
        product = "C (M - A)"
        numbers = ", ".join(map(scalar_latex, part.allowance))
        rate = "" if part.rate is None else f", \\quad r = {scalar_latex(part.rate)}"
        decay = "\\Gamma" if part.rate is None else "(\\Gamma - r)"
        yield f"A &= {decay} S^{{-1}} = \\operatorname{{diag}}({numbers}){rate}"
    left = f"{product} + ({product})^\\top"
    left = f"{product} = ({product})^\\top" if part.spectrum == "real" else left
    yield f"{left} &= {_squares_latex(part.squares)}"


def _scaling_latex(part: ProofPart) -> str:
    if not part.has_diagonal_scaling:
        return matrix_latex(part.scaling)
    weights = ", ".join(
        operator_latex(w) if w.scalar is None else scalar_latex(w.scalar) for w in part.weights
    )
    return f"\\operatorname{{diag}}({weights})"


def matrix_latex(entries: Matrix) -> str:
    """A matrix of operators."""
    rows = [" & ".join(operator_latex(entry) for entry in row) for row in entries]
    return "\\begin{bmatrix} " + " \\\\ ".join(rows) + " \\end{bmatrix}"


def _squares_latex(squares: tuple[Square, ...]) -> str:
    if not squares:
        return "0"
    rows = [(_factor_latex(square.weight), matrix_latex((square.row,))) for square in squares]
    terms = signed_sum((-1, f"{factor}{row}^\\top {row}") for factor, row in rows)
    return f"{terms} \\preceq 0"


def _factor_latex(value: Scalar) -> str:
    """A number as the factor of what follows; empty for 1."""
    if len(value.terms) > 1:
        return f"\\left({scalar_latex(value)}\\right)"
    return "" if value == ONE else f"{scalar_latex(value)}\\,"


def operator_latex(value: Operator) -> str:
    """A sum of words."""
    return signed_sum(_term_latex(word, factor) for word, factor in value.terms)


def _term_latex(word: Word, factor: Scalar) -> tuple[int, str]:
    letters = " ".join(_letter_latex(letter) for letter in word) or "I"
    return factor.printed_sign, _factor_latex(factor.unsigned) + letters


def _letter_latex(letter: Letter | Diagonal) -> str:
    if isinstance(letter, Letter):
        return latex_math(letter.name) + ("^{\\top}" if letter.adjoint else "")
    return " ".join(_power_latex(base, power) for base, power in letter.powers)


def _power_latex(base: str, power: object) -> str:
    text = latex_math(base)
    if power == 1:
        return text
    return f"{text if base.isidentifier() else LATEX.dialect.brackets(text)}^{{{power}}}"


def scalar_latex(value: Scalar) -> str:
    """A number; quotients are fractions."""
    return signed_sum((c, _monomial_latex(m, abs(c))) for m, c in value.terms)


def _monomial_latex(monomial: Monomial, number: Fraction) -> str:
    numerator, denominator = fraction_texts(monomial, number, _power_latex)
    text = " ".join(numerator)
    return f"\\frac{{{text}}}{{{' '.join(denominator)}}}" if denominator else text
