"""Reductions to simpler systems: diagonal blocks, a system without its decay, absorbed slopes."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import IDENTITY, ZERO_OPERATOR, Diagonal, Operator, sum_by_key
from odenet.analyse.units import OperatorsByState, System, Unit
from odenet.model.expressions.expr import State

Decay = dict[State, Scalar]
Node = TypeVar("Node")


def irreducible_systems(system: System) -> list[System]:
    """The irreducible diagonal blocks of a block triangular system, as systems, in order.

    A block reads only states of itself and of earlier blocks. The spectrum of the whole system is
    the union of those of its blocks.
    """
    reads = {i: {j for (k, j) in system.linear_terms if k == i} for i in system.states}
    for unit in system.units:
        for i in unit.column:
            reads[i] |= set(unit.row)
    return [_restricted(system, group) for group in strong_components(reads)]


def strong_components(graph: Mapping[Node, Collection[Node]]) -> list[list[Node]]:
    """The strongly connected components of a graph node -> successors, successors first."""
    reachable = {i: _reachable(graph, i) for i in graph}
    groups: list[list[Node]] = []
    grouped: set[Node] = set()
    for i in sorted(graph, key=lambda i: len(reachable[i])):
        if i not in grouped:
            groups.append([j for j in graph if j in reachable[i] and i in reachable[j]])
            grouped.update(groups[-1])
    return groups


def _reachable(graph: Mapping[Node, Collection[Node]], start: Node) -> set[Node]:
    """All nodes that can be reached from a node, itself included."""
    seen, unvisited = {start}, [start]
    while unvisited:
        discovered = set(graph[unvisited.pop()]) - seen
        seen |= discovered
        unvisited += discovered
    return seen


def _restricted(system: System, states: list[State]) -> System:
    """The system of some states alone; terms that read or change other states are dropped."""
    kept = set(states)

    def restrict(row: OperatorsByState) -> OperatorsByState:
        return {s: op for s, op in row.items() if s in kept}

    units = [replace(u, row=restrict(u.row), column=restrict(u.column)) for u in system.units]
    linear = {(i, j): op for (i, j), op in system.linear_terms.items() if i in kept and j in kept}
    kept_units = tuple(unit for unit in units if unit.row and unit.column)
    return replace(system, states=tuple(states), units=kept_units, linear_terms=linear)


def split_off_decay(system: System, signs: Signs) -> tuple[Decay, System] | None:
    """Decays γ_i > 0 and the system without the terms -γ_i s_i; None if there are none.

    States that one unit reads get the same γ, the least of theirs as far as signs are known. The
    identity holds for any γ: with one that is not the least, the remaining system may grow, and
    then nothing is proved about it.
    """
    linear = dict(system.linear_terms)
    decay: Decay = {}
    for group in _joint_states(system):
        decays = [-linear.get((s, s), ZERO_OPERATOR).identity_coefficient for s in group]
        least = [d for d in decays if all(signs.sign_of(other - d) != -1 for other in decays)]
        if not least or signs.sign_of(least[0]) != 1:
            continue
        for state in group:
            decay[state] = least[0]
            remainder = linear.pop((state, state)) + least[0] * IDENTITY
            if remainder:
                linear[state, state] = remainder
    return (decay, replace(system, linear_terms=linear)) if decay else None


def _joint_states(system: System) -> list[list[State]]:
    """The smallest groups of states such that every unit reads states of one group only."""
    reads: dict[State, set[State]] = {state: set() for state in system.states}
    for unit in system.units:
        for state in unit.row:
            reads[state] |= set(unit.row)
    return strong_components(reads)


# --- slopes as diagonals in linear terms ---------------------------------------------------------


def slope_absorptions(system: System) -> Iterator[System]:
    """Systems with the slopes of some units moved into the linear terms.

    At a fixed time the slopes of a unit are a diagonal D′ >= 0. If a unit acts on a state j that it
    reads, L_j φ(… + R_j s_j), its part L_j D′ R_j of the Jacobian can be a linear term. The
    spectrum is the same, but no energy follows.
    """
    absorbable = [  # (index of the unit, state)
        (k, state)
        for k, unit in enumerate(system.units)
        for state, operator in unit.row.items()
        if _acts_through_adjoint(unit, state, operator)
    ]
    choices = [tuple(absorbable), *((pair,) for pair in absorbable)] if absorbable else []
    for choice in dict.fromkeys(choices):
        yield _absorb(system, choice)


def _acts_through_adjoint(unit: Unit, state: State, operator: Operator) -> bool:
    """Whether L_j has the same words as the adjoint of R_j, for the state j, whatever the signs."""
    words = [word for word, _ in unit.column.get(state, ZERO_OPERATOR).terms]
    return words == [word for word, _ in operator.adjoint.terms]


def _absorb(system: System, pairs: tuple[tuple[int, State], ...]) -> System:
    """The system with L_j D′ R_j as a linear term for each pair (k, j) of a unit and a state."""
    units, linear = list(system.units), list(system.linear_terms.items())
    absorbed = list(system.absorbed_units)
    for k, state in pairs:
        unit = units[k]
        name = f"D′{k + 1}"
        damping = Operator.word((Diagonal(powers=((name, 1),)),)) @ unit.row[state]
        linear += [((i, state), output @ damping) for i, output in unit.column.items()]
        units[k] = replace(unit, row={s: op for s, op in unit.row.items() if s != state})
        absorbed.append((name, replace(unit, row={state: unit.row[state]})))
    system = replace(system, linear_terms=sum_by_key(linear), absorbed_units=tuple(absorbed))
    return replace(system, units=tuple(unit for unit in units if unit.row))
