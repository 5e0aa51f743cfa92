"""A proof as text."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from odenet.analyse.conditions import Part
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import factor_text
from odenet.analyse.operator_algebra import Operator, word_text
from odenet.analyse.squares import Square
from odenet.analyse.units import Unit
from odenet.model.expressions.expr import derivative

SOURCES = {
    "imaginary": "Haber & Ruthotto 2017; Chang et al. 2018, AAAI, appendix, is C = I with two "
    "units",
    "real": "parabolic networks, Ruthotto & Haber 2020",
    "stable": "dissipation, Chang et al. 2019; port-Hamiltonian form, Galimberti et al. 2023",
}
BOUNDED = "slopes of at most s: monotone equilibrium networks, Winston & Kolter 2020"
SYMMETRY = {
    "imaginary": "antisymmetric",
    "real": "symmetric and negative semidefinite",
    "stable": "negative semidefinite in its symmetric part",
}
ENDS = {
    "imaginary": "all are imaginary",
    "real": "all are real and at most 0",
    "stable": "none has a positive real part",
}


def proof(parts: tuple[Part, ...], verdict: str) -> Iterator[str]:
    """The lines of a proof."""
    yield from opening(parts)
    for number, part in enumerate(parts, start=1):
        name = str(number) if len(parts) > 1 else ""
        yield from setting(part, name)
        if part.units:
            yield from _matrix(part)
            yield from () if part.nilpotent else _condition(part)
            yield from conclusion(part, name)
    yield f"({sources(parts)}. Theorems in docs/certificates.md.)"


def opening(parts: tuple[Part, ...]) -> Iterator[str]:
    """What is said before the parts, where they are several."""
    if len(parts) > 1:
        yield "J is block triangular: its eigenvalues are those of these blocks together."


def sources(parts: tuple[Part, ...]) -> str:
    """Where the theorems come from."""
    kinds = {part.spectrum for part in parts if not part.nilpotent} or {"imaginary"}
    found = [SOURCES[kind] for kind in SOURCES if kind in kinds]
    found += [BOUNDED] if any(part.allowance for part in parts) else []
    return "; ".join(found)


def setting(part: Part, name: str) -> Iterator[str]:
    """What a part is about, up to its matrix M; `name` is empty where there is one part alone."""
    block = f"block {name}: " if name else ""
    if part.decay:
        yield f"{block}J{_sub(name)} = J₀ - Γ with {decay(part)}; the rest is about J₀."
    if not part.units:
        yield f"{block}{_jacobian(part, name)} = 0."
        return
    yield f"{block}s' = L φ(R s + b) with the units"
    yield from (f"  φ{i} = {line}" for i, line in enumerate(map(unit, part.units), start=1))
    for absorbed, one in part.absorbed:
        yield f"{absorbed} = diag(φ') ≥ 0 of {one.text} is among the linear terms."


def conclusion(part: Part, name: str) -> Iterator[str]:
    """What follows for the eigenvalues from M, C and their condition."""
    jacobian = _jacobian(part, name)
    if part.nilpotent:
        yield f"No unit reads another in a circle: all eigenvalues of {jacobian} are 0."
        return
    if part.allowance:
        yield from _bounded(part)
        return
    yield f"{jacobian} = L D R with D = diag(φ') ≥ 0{_slopes(part.monotone)}."
    yield "Its nonzero eigenvalues are those of D^½ M D^½, which the similarity C^½ · C^-½ makes"
    yield f"{SYMMETRY[part.spectrum]}: {ENDS[part.spectrum]}."
    if part.decay:
        yield "No unit reads states of different decay, so that Γ only adds decay to the units:"
        yield f"of J, {_end(part)}."


def _jacobian(part: Part, name: str) -> str:
    return "J₀" if part.decay else f"J{_sub(name)}"


def _matrix(part: Part) -> Iterator[str]:
    yield from arranged(part)
    yield from grid("M = R L = " if part.expanded is None else "M = ", part.matrix)


def arranged(part: Part) -> Iterator[str]:
    """How M came about, where a change of variables went before."""
    if part.contracted is not None:
        unit = f"φ{part.contracted + 1}"
        yield f"{unit} takes the place of its state, which the others read only through it."
    if part.expanded is not None:
        v, word = part.expanded
        q = word_text(word)
        yield f"φ{v + 1} is moved only through {q}: with {q} w in its place,"


def _condition(part: Part) -> Iterator[str]:
    if part.scales_diagonally:
        weights = f"C = diag({', '.join(_weight(w) for w in part.weights)}) > 0"
    else:
        yield from grid("C = ", part.scaling)
        weights = "C > 0 commutes with D, which is I here, and"
    product = "C M"
    if part.allowance:
        product = "C (M - A)"
        name = "Γ" if part.rate is None else "(Γ - r)"
        known = "" if part.rate is None else f" and r = {part.rate}"
        numbers = ", ".join(map(str, part.allowance))
        unbounded = "" if all(part.allowance) else "; 0 where there is no bound or no decay"
        yield f"A = {name} S⁻¹ = diag({numbers}) with D ≤ S{known}{unbounded}."
    if part.spectrum == "imaginary":
        yield f"{weights} gives C M + (C M)ᵀ = 0."
        return
    left = f"{product} = ({product})ᵀ" if part.spectrum == "real" else f"{product} + ({product})ᵀ"
    yield f"{weights} gives {left} = {squares(part.squares)} ≤ 0" + (
        f" with {rows(part.squares)}." if part.squares else "."
    )


def _bounded(part: Part) -> Iterator[str]:
    """The end of a proof that rests on D <= S."""
    yield f"J₀ = L D R with 0 ≤ D = diag(φ') ≤ S{_slopes(part.units)}"
    bounds = [f"φ{i}' ≤ {bound}" for i, one in enumerate(part.units, 1) if (bound := one.most)]
    symmetry = (
        "symmetric and at most" if part.spectrum == "real" else "at most, but for a skew part,"
    )
    yield f"and {', '.join(bounds)}. The similarity C^½ · C^-½ makes D^½ M D^½"
    yield f"{symmetry} D A ≤ {'Γ' if part.rate is None else 'Γ - r'}, and the eigenvalues of J are"
    yield f"among those of D^½ M D^½ - Γ and of -Γ: {_end(part)}."


def _end(part: Part) -> str:
    """What is so of the eigenvalues of J."""
    if part.rate is None:
        return ENDS[part.of_jacobian]
    below = str(-part.rate) if len(part.rate.terms) == 1 else f"-({part.rate})"
    if part.of_jacobian == "real":
        return f"all are real and at most {below}"
    return f"none has a real part above {below}"


def squares(found: tuple[Square, ...]) -> str:
    """`-2 γ W1ᵀW1 - W2ᵀW2`."""
    named = zip(found, _names(found), strict=True)
    terms = [f"{factor_text(square.weight)}{name}ᵀ{name}" for square, name in named]
    return "-" + " - ".join(terms) if terms else "0"


def rows(found: tuple[Square, ...]) -> str:
    """`W = [I, Kᵀ]`."""
    named = zip(found, _names(found), strict=True)
    return ", ".join(f"{name} = [{', '.join(map(str, square.row))}]" for square, name in named)


def _names(found: tuple[Square, ...]) -> list[str]:
    return [f"W{i}" for i in range(1, len(found) + 1)] if len(found) > 1 else ["W"] * len(found)


def decay(part: Part) -> str:
    """`Γ = γ I ≥ 0 on Y and on Z`; no unit reads states with different γ."""
    numbers = dict.fromkeys(part.decay.values())
    states = {
        number: " and ".join(s.written for s, own in part.decay.items() if own == number)
        for number in numbers
    }
    return "Γ = " + ", ".join(f"{factor_text(n)}I ≥ 0 on {where}" for n, where in states.items())


def unit(one: Unit) -> str:
    """`relu(K1 Z + b1), carried to Y' by K1ᵀ`."""
    ways = [f"{derivative(s.name, s.order + 1)} by {by}" for s, by in one.column.items()]
    return f"{one.text}, carried to {' and to '.join(ways)}"


def grid(before: str, matrix: Matrix) -> Iterator[str]:
    """A matrix with its columns aligned."""
    cells = [[str(operator) for operator in row] for row in matrix]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        text = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{before if number == 0 else ' ' * len(before)}[ {text} ]"


def plain(part: Part) -> dict[str, Any]:
    """A part of the proof as plain values, for `--json`."""
    return {
        "units": [unit(one) for one in part.units],
        "matrix": [[str(operator) for operator in row] for row in part.matrix],
        "weights": [_weight(weight) for weight in part.weights],
        "squares": [
            {"weight": str(square.weight), "row": [str(operator) for operator in square.row]}
            for square in part.squares
        ],
        "scaling": [[str(operator) for operator in row] for row in part.scaling],
        "slopes": [[_bound(one.least), _bound(one.most)] for one in part.units],
        "allowance": [str(number) for number in part.allowance],
        "rate": None if part.rate is None else str(part.rate),
        "spectrum": part.of_jacobian,
        "decay": {state.written: str(number) for state, number in part.decay.items()},
    }


def _weight(weight: Operator) -> str:
    """A number, or a diagonal."""
    number = weight.scalar
    return str(weight) if number is None else str(number)


def _bound(number: Fraction | None) -> str | None:
    return None if number is None else str(number)


def _slopes(units: tuple[Unit, ...]) -> str:
    """Why D >= 0: ` since relu is nondecreasing and the slopes of gelu are at least -13/100`."""
    reasons: list[str] = []
    found = [a.name for one in units if one.moved is None for a in one.activations]
    names = [name for name in dict.fromkeys(found) if name != "identity"]
    if names:
        reasons.append(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} nondecreasing")
    for one in units:
        if one.moved is not None:
            chain = " ".join(activation.name for activation in one.activations)
            side = "most" if one.turned else "least"
            reasons.append(f"the slopes of {chain} are at {side} {one.moved}")
    return f" since {' and '.join(dict.fromkeys(reasons))}" if reasons else ""


def _sub(name: str) -> str:
    return name.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
