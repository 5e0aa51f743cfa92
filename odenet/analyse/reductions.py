"""Systems whose spectrum bounds that of another: its blocks, without its decay, slopes taken in."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import IDENTITY, NOTHING, Diagonal, Operator, added_up
from odenet.analyse.units import System, Unit
from odenet.model.expressions.expr import State

Decay = dict[State, Scalar]
Node = TypeVar("Node")


def parts(system: System) -> list[System]:
    """The irreducible parts of a block triangular system, first those that read no others.

    The spectrum of the whole is that of its parts together.
    """
    reads = {i: {j for (k, j) in system.linear if k == i} for i in system.states}
    for unit in system.units:
        for i in unit.column:
            reads[i] |= set(unit.row)
    return [_restrict(system, group) for group in components(reads)]


def components(reads: Mapping[Node, Collection[Node]]) -> list[list[Node]]:
    """Strongly connected components of a graph, those that reach no others first."""
    reach = {i: _reach(reads, i) for i in reads}
    groups: list[list[Node]] = []
    grouped: set[Node] = set()
    for i in sorted(reads, key=lambda i: len(reach[i])):
        if i not in grouped:
            groups.append([j for j in reads if j in reach[i] and i in reach[j]])
            grouped.update(groups[-1])
    return groups


def _reach(reads: Mapping[Node, Collection[Node]], start: Node) -> set[Node]:
    """What a node reads, directly or through others, and itself."""
    seen, left = {start}, [start]
    while left:
        new = set(reads[left.pop()]) - seen
        seen |= new
        left += new
    return seen


def _restrict(system: System, states: list[State]) -> System:
    inside = {state: None for state in states}
    units = [
        replace(
            unit,
            row={s: op for s, op in unit.row.items() if s in inside},
            column={s: op for s, op in unit.column.items() if s in inside},
        )
        for unit in system.units
    ]
    linear = {(i, j): op for (i, j), op in system.linear.items() if i in inside and j in inside}
    live = tuple(unit for unit in units if unit.row and unit.column)
    return replace(system, states=tuple(states), units=live, linear=linear)


def without_decay(system: System, signs: Signs) -> tuple[Decay, System] | None:
    """Decays γ_i > 0 and the system with -γ_i s_i taken out of its rates; None if there are none.

    States that one unit reads get the same γ, the least of theirs.
    """
    linear = dict(system.linear)
    decay: Decay = {}
    for group in _read_together(system):
        found = [-linear.get((s, s), NOTHING).get(()) for s in group]
        least = [d for d in found if all((signs.of(other - d) or 0) >= 0 for other in found)]
        if not least or signs.of(least[0]) != 1:
            continue
        for state in group:
            decay[state] = least[0]
            left = linear.pop((state, state)) + least[0] * IDENTITY
            if left:
                linear[state, state] = left
    return (decay, replace(system, linear=linear)) if decay else None


def _read_together(system: System) -> list[list[State]]:
    """The states in groups such that every unit reads states of one group."""
    reads: dict[State, set[State]] = {state: set() for state in system.states}
    for unit in system.units:
        for state in unit.row:
            reads[state] |= set(unit.row)
    return components(reads)


# --- slopes among the linear terms ---------------------------------------------------------------


def absorptions(system: System) -> Iterator[System]:
    """The system with the damping of some units written into the linear terms.

    At one point of the flow the slopes of a unit are a diagonal D′ >= 0 like any other. Where a
    unit acts on a state j that it reads, L_j φ(… + R_j s_j), its part L_j D′ R_j of the Jacobian
    can be among the linear terms; the spectrum is the same, though no energy follows.
    """
    pieces = [
        (k, state)
        for k, unit in enumerate(system.units)
        for state, operator in unit.row.items()
        if _damps(unit, state, operator)
    ]
    choices = [tuple(pieces), *((piece,) for piece in pieces)] if pieces else []
    for choice in dict.fromkeys(choices):
        yield _absorb(system, choice)


def _damps(unit: Unit, state: State, operator: Operator) -> bool:
    """Whether a unit acts on a state by minus the adjoint of what reads it, up to a number."""
    back = unit.column.get(state, NOTHING)
    words = [word for word, _ in back.terms]
    return words == [word for word, _ in operator.adjoint.terms]


def _absorb(system: System, pieces: tuple[tuple[int, State], ...]) -> System:
    units, linear = list(system.units), list(system.linear.items())
    absorbed = list(system.absorbed)
    for k, state in pieces:
        unit = units[k]
        name = f"D′{k + 1}"
        slopes = Operator.word((Diagonal(((name, 1),)),))
        damping = slopes @ unit.row[state]
        linear += [((i, state), back @ damping) for i, back in unit.column.items()]
        units[k] = replace(unit, row={s: op for s, op in unit.row.items() if s != state})
        absorbed.append((name, replace(unit, row={state: unit.row[state]})))
    left = tuple(unit for unit in units if unit.row)
    return replace(system, units=left, linear=added_up(linear), absorbed=tuple(absorbed))
