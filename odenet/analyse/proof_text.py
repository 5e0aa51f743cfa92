"""A proof as text."""

from collections.abc import Iterator
from typing import Any

from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import factor_text
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.prove import Part
from odenet.analyse.squares import Square
from odenet.analyse.units import Unit
from odenet.model.expr import State

SOURCES = {
    "imaginary": "Haber & Ruthotto 2017; Chang et al. 2018, appendix, is C = I with two units",
    "real": "parabolic networks, Ruthotto & Haber 2020",
    "stable": "dissipation, Chang et al. 2019; port-Hamiltonian form, Galimberti et al. 2023",
}
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
    if len(parts) > 1:
        yield "J is block triangular: its eigenvalues are those of these blocks together."
    for number, part in enumerate(parts, start=1):
        name = str(number) if len(parts) > 1 else ""
        yield from _part(part, name)
    kinds = {part.spectrum for part in parts if not part.nilpotent} or {"imaginary"}
    cited = "; ".join(SOURCES[kind] for kind in SOURCES if kind in kinds)
    yield f"({cited}. Theorems in docs/certificates.md.)"


def _part(part: Part, name: str) -> Iterator[str]:
    block = f"block {name}: " if name else ""
    jacobian = f"J{_sub(name)}"
    if part.decay:
        yield f"{block}{jacobian} = J₀ - Γ with {decay(part)}; the rest is about J₀."
        jacobian = "J₀"
    if not part.units:
        yield f"{block}{jacobian} = 0."
        return
    yield f"{block}s' = L φ(R s + b) with the units"
    yield from (f"  φ{i} = {line}" for i, line in enumerate(map(unit, part.units), start=1))
    for name, one in part.absorbed:
        yield f"{name} = diag(φ') ≥ 0 of {one.text} stands with the linear terms."
    if part.contracted is not None:
        yield f"φ{part.contracted + 1} stands for its state, which the others read only through it."
    yield from grid("M = R L = ", part.matrix)
    if part.nilpotent:
        yield f"No unit reads another in a circle: all eigenvalues of {jacobian} are 0."
        return
    yield from _condition(part)
    yield f"{jacobian} = L D R with D = diag(φ') ≥ 0{_slopes(part.monotone)}."
    yield "Its nonzero eigenvalues are those of D^½ M D^½, which the similarity C^½ · C^-½ makes"
    yield f"{SYMMETRY[part.spectrum]}: {ENDS[part.spectrum]}."
    if part.decay:
        yield "No unit reads states of different decay, so that Γ only adds decay to the units:"
        yield f"of J, {ENDS[part.of_jacobian]}."


def _condition(part: Part) -> Iterator[str]:
    weights = f"C = diag({', '.join(_weight(w) for w in part.weights)}) > 0"
    if part.spectrum == "imaginary":
        yield f"{weights} gives C M + (C M)ᵀ = 0."
        return
    left = "C M = (C M)ᵀ" if part.spectrum == "real" else "C M + (C M)ᵀ"
    yield f"{weights} gives {left} = {squares(part.squares)} ≤ 0" + (
        f" with {rows(part.squares)}." if part.squares else "."
    )


def squares(found: tuple[Square, ...]) -> str:
    """`-2 γ W1ᵀW1 - W2ᵀW2`."""
    terms = []
    for i, square in enumerate(found, start=1):
        name = f"W{i}" if len(found) > 1 else "W"
        terms.append(f"{factor_text(square.weight)}{name}ᵀ{name}")
    return "-" + " - ".join(terms) if terms else "0"


def rows(found: tuple[Square, ...]) -> str:
    """`W = [I, Kᵀ]`."""
    names = [f"W{i}" if len(found) > 1 else "W" for i in range(1, len(found) + 1)]
    texts = [", ".join(map(str, square.row)) for square in found]
    return ", ".join(f"{name} = [{text}]" for name, text in zip(names, texts, strict=True))


def decay(part: Part) -> str:
    """`Γ = γ I ≥ 0 on Y and on Z`; no unit reads states with different γ."""
    numbers = dict.fromkeys(part.decay.values())
    texts = []
    for number in numbers:
        states = [_name(state) for state, own in part.decay.items() if own == number]
        texts.append(f"{factor_text(number)}I ≥ 0 on {' and '.join(states)}")
    return f"Γ = {', '.join(texts)}"


def _name(state: State) -> str:
    return state.name + "'" * state.order


def unit(one: Unit) -> str:
    """`relu(K1 Z + b1), carried to Y' by K1ᵀ`."""
    primes = {state: "'" * (state.order + 1) for state in one.column}
    ways = [f"{state.name}{primes[state]} by {operator}" for state, operator in one.column.items()]
    return f"{one.text}, carried to {' and to '.join(ways)}"


def grid(before: str, matrix: Matrix) -> Iterator[str]:
    """A matrix with its columns aligned."""
    cells = [[str(operator) for operator in row] for row in matrix]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        text = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{before if number == 0 else ' ' * len(before)}[ {text} ]"


def plain(part: Part) -> dict[str, Any]:
    """A part as plain values."""
    return {
        "units": [unit(one) for one in part.units],
        "matrix": [[str(operator) for operator in row] for row in part.matrix],
        "weights": [_weight(weight) for weight in part.weights],
        "squares": [
            {"weight": str(square.weight), "row": [str(operator) for operator in square.row]}
            for square in part.squares
        ],
        "spectrum": part.of_jacobian,
        "decay": {_name(state): str(number) for state, number in part.decay.items()},
    }


def _weight(weight: Operator) -> str:
    """A number, or a diagonal."""
    number = weight.scalar
    return str(weight) if number is None else str(number)


def _slopes(units: tuple[Unit, ...]) -> str:
    found = [a.name for unit in units for a in unit.activations if a.name != "identity"]
    names = list(dict.fromkeys(found))
    if not names:
        return ""
    return f" since {' and '.join(names)} {'is' if len(names) == 1 else 'are'} nondecreasing"


def _sub(name: str) -> str:
    return name.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
