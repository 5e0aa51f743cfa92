"""A proof as lines of text."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from odenet.analyse.conditions import ProofPart
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import Scalar, factor_text
from odenet.analyse.operator_algebra import Operator, word_text
from odenet.analyse.squares import Square
from odenet.analyse.units import Unit
from odenet.model.expressions.expr import with_primes

SOURCES = {
    "imaginary": "Haber & Ruthotto 2017; Chang et al. 2018, AAAI, appendix, is C = I with two "
    "units",
    "real": "parabolic networks, Ruthotto & Haber 2020",
    "stable": "dissipation, Chang et al. 2019; port-Hamiltonian form, Galimberti et al. 2023",
}
BOUNDED_SLOPES = "slopes of at most s: monotone equilibrium networks, Winston & Kolter 2020"
SYMMETRY = {
    "imaginary": "antisymmetric",
    "real": "symmetric and negative semidefinite",
    "stable": "negative semidefinite in its symmetric part",
}
CONCLUSIONS = {
    "imaginary": "all are imaginary",
    "real": "all are real and at most 0",
    "stable": "none has a positive real part",
}


def proof_lines(parts: tuple[ProofPart, ...], verdict: str) -> Iterator[str]:
    """The lines of a proof."""
    yield from opening_lines(parts)
    for number, part in enumerate(parts, start=1):
        block_name = str(number) if len(parts) > 1 else ""
        yield from decay_and_unit_lines(part, block_name)
        if part.units:
            yield from _matrix_section(part)
            yield from () if part.nilpotent else _condition_lines(part)
            yield from conclusion_lines(part, block_name)
    yield f"({sources_text(parts)}. Theorems in docs/certificates.md.)"


def opening_lines(parts: tuple[ProofPart, ...]) -> Iterator[str]:
    """The introduction, if the proof has several parts."""
    if len(parts) > 1:
        yield "J is block triangular: its eigenvalues are those of these blocks together."


def sources_text(parts: tuple[ProofPart, ...]) -> str:
    """The literature from which the theorems come."""
    kinds = {part.spectrum for part in parts if not part.nilpotent} or {"imaginary"}
    texts = [SOURCES[kind] for kind in SOURCES if kind in kinds]
    texts += [BOUNDED_SLOPES] if any(part.allowance for part in parts) else []
    return "; ".join(texts)


def decay_and_unit_lines(part: ProofPart, block_name: str) -> Iterator[str]:
    """The decay and units of a part; `block_name` is `2` for the second of several, else empty."""
    block = f"block {block_name}: " if block_name else ""
    if part.decay:
        jacobian = f"{block}J{_subscript(block_name)}"
        yield f"{jacobian} = J₀ - Γ with {decay_text(part)}; the rest is about J₀."
    if not part.units:
        yield f"{block}{_jacobian_name(part, block_name)} = 0."
        return
    yield f"{block}s' = L φ(R s + b) with the units"
    yield from (f"  φ{i} = {line}" for i, line in enumerate(map(unit_text, part.units), start=1))
    for name, unit in part.absorbed_units:
        yield f"{name} = diag(φ') ≥ 0 of {unit.text} is among the linear terms."


def conclusion_lines(part: ProofPart, block_name: str) -> Iterator[str]:
    """The conclusion about the eigenvalues from the condition on M and C."""
    jacobian = _jacobian_name(part, block_name)
    if part.nilpotent:
        yield f"No unit reads another in a circle: all eigenvalues of {jacobian} are 0."
        return
    if part.allowance:
        yield from _bounded_slopes_lines(part)
        return
    yield f"{jacobian} = L D R with D = diag(φ') ≥ 0{_slopes_reason(part.monotone_units)}."
    yield "Its nonzero eigenvalues are those of D^½ M D^½, which the similarity C^½ · C^-½ makes"
    yield f"{SYMMETRY[part.spectrum]}: {CONCLUSIONS[part.spectrum]}."
    if part.decay:
        yield "No unit reads states of different decay, so that Γ only adds decay to the units:"
        yield f"of J, {_conclusion(part)}."


def _jacobian_name(part: ProofPart, block_name: str) -> str:
    return "J₀" if part.decay else f"J{_subscript(block_name)}"


def _matrix_section(part: ProofPart) -> Iterator[str]:
    yield from change_of_variables_lines(part)
    yield from matrix_lines("M = R L = " if part.expanded_unit is None else "M = ", part.matrix)


def change_of_variables_lines(part: ProofPart) -> Iterator[str]:
    """The change of variables that led to M, if there was one."""
    if part.contracted_unit is not None:
        unit = f"φ{part.contracted_unit + 1}"
        yield f"{unit} takes the place of its state, which the others read only through it."
    if part.expanded_unit is not None:
        v, word = part.expanded_unit
        q = word_text(word)
        yield f"φ{v + 1} is moved only through {q}: with {q} w in its place,"


def _condition_lines(part: ProofPart) -> Iterator[str]:
    if part.has_diagonal_scaling:
        weights = f"C = diag({', '.join(_weight_text(w) for w in part.weights)}) > 0"
    else:
        yield from matrix_lines("C = ", part.scaling)
        weights = "C > 0 commutes with D, which is I here, and"
    product = "C M"
    if part.allowance:
        product = "C (M - A)"
        name = "Γ" if part.rate is None else "(Γ - r)"
        rate = "" if part.rate is None else f" and r = {part.rate}"
        numbers = ", ".join(map(str, part.allowance))
        unbounded = "" if all(part.allowance) else "; 0 where there is no bound or no decay"
        yield f"A = {name} S⁻¹ = diag({numbers}) with D ≤ S{rate}{unbounded}."
    if part.spectrum == "imaginary":
        yield f"{weights} gives C M + (C M)ᵀ = 0."
        return
    left = f"{product} = ({product})ᵀ" if part.spectrum == "real" else f"{product} + ({product})ᵀ"
    rows = f" with {square_rows_text(part.squares)}" if part.squares else ""
    yield f"{weights} gives {left} = {squares_text(part.squares)} ≤ 0{rows}."


def _bounded_slopes_lines(part: ProofPart) -> Iterator[str]:
    """The conclusion of a proof that uses bounds D <= S of the slopes."""
    yield f"J₀ = L D R with 0 ≤ D = diag(φ') ≤ S{_slopes_reason(part.units)}"
    bounds = [f"φ{i}' ≤ {bound}" for i, u in enumerate(part.units, 1) if (bound := u.max_slope)]
    phrase = "symmetric and at most" if part.spectrum == "real" else "at most, but for a skew part,"
    yield f"and {', '.join(bounds)}. The similarity C^½ · C^-½ makes D^½ M D^½"
    yield f"{phrase} D A ≤ {'Γ' if part.rate is None else 'Γ - r'}, and the eigenvalues of J are"
    yield f"among those of D^½ M D^½ - Γ and of -Γ: {_conclusion(part)}."


def _conclusion(part: ProofPart) -> str:
    """The statement about the eigenvalues of J, with the decay rate if one is proved."""
    if part.rate is None:
        return CONCLUSIONS[part.jacobian_spectrum]
    bound = str(-part.rate) if len(part.rate.terms) == 1 else f"-({part.rate})"
    if part.jacobian_spectrum == "real":
        return f"all are real and at most {bound}"
    return f"none has a real part above {bound}"


def squares_text(squares: tuple[Square, ...]) -> str:
    """`-2 γ W1ᵀW1 - W2ᵀW2`."""
    named = zip(squares, _square_names(squares), strict=True)
    terms = [f"{factor_text(square.weight)}{name}ᵀ{name}" for square, name in named]
    return "-" + " - ".join(terms) if terms else "0"


def square_rows_text(squares: tuple[Square, ...]) -> str:
    """`W = [I, Kᵀ]`."""
    named = zip(squares, _square_names(squares), strict=True)
    return ", ".join(f"{name} = [{', '.join(map(str, square.row))}]" for square, name in named)


def _square_names(squares: tuple[Square, ...]) -> list[str]:
    return ["W"] if len(squares) == 1 else [f"W{i}" for i in range(1, len(squares) + 1)]


def decay_text(part: ProofPart) -> str:
    """`Γ = γ I ≥ 0 on Y and on Z`; no unit reads states with different γ."""
    states: dict[Scalar, list[str]] = {}
    for state, number in part.decay.items():
        states.setdefault(number, []).append(state.text)
    terms = (f"{factor_text(n)}I ≥ 0 on {' and '.join(names)}" for n, names in states.items())
    return "Γ = " + ", ".join(terms)


def unit_text(unit: Unit) -> str:
    """`relu(K1 Z + b1), carried to Y' by K1ᵀ`."""
    targets = [f"{with_primes(s.name, s.order + 1)} by {op}" for s, op in unit.column.items()]
    return f"{unit.text}, carried to {' and to '.join(targets)}"


def matrix_lines(prefix: str, matrix: Matrix) -> Iterator[str]:
    """A matrix with its columns aligned."""
    cells = [[str(operator) for operator in row] for row in matrix]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        text = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{prefix if number == 0 else ' ' * len(prefix)}[ {text} ]"


def part_json(part: ProofPart) -> dict[str, Any]:
    """A part of the proof as JSON values, for `--json`."""
    return {
        "units": [unit_text(unit) for unit in part.units],
        "matrix": [[str(operator) for operator in row] for row in part.matrix],
        "weights": [_weight_text(weight) for weight in part.weights],
        "squares": [{"weight": str(s.weight), "row": list(map(str, s.row))} for s in part.squares],
        "scaling": [[str(operator) for operator in row] for row in part.scaling],
        "slopes": [[_bound_text(u.min_slope), _bound_text(u.max_slope)] for u in part.units],
        "allowance": [str(number) for number in part.allowance],
        "rate": None if part.rate is None else str(part.rate),
        "spectrum": part.jacobian_spectrum,
        "decay": {state.text: str(number) for state, number in part.decay.items()},
    }


def _weight_text(weight: Operator) -> str:
    """A number as it is, or a diagonal operator."""
    number = weight.scalar
    return str(weight) if number is None else str(number)


def _bound_text(number: Fraction | None) -> str | None:
    return None if number is None else str(number)


def _slopes_reason(units: tuple[Unit, ...]) -> str:
    """Why D >= 0: ` since relu is nondecreasing and the slopes of gelu are at least -13/100`."""
    reasons: list[str] = []
    all_names = [a.name for unit in units if unit.moved_slope is None for a in unit.activations]
    names = [name for name in dict.fromkeys(all_names) if name != "identity"]
    if names:
        reasons.append(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} nondecreasing")
    for unit in units:
        if unit.moved_slope is not None:
            chain = " ".join(activation.name for activation in unit.activations)
            side = "most" if unit.is_reflected else "least"
            reasons.append(f"the slopes of {chain} are at {side} {unit.moved_slope}")
    return f" since {' and '.join(dict.fromkeys(reasons))}" if reasons else ""


def _subscript(number: str) -> str:
    return number.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
