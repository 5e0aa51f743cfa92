"""How strongly a scheme's auxiliary unknowns influence the solution: with which power of h.

If the step for an unknown of the equations contains an auxiliary one with a factor h^q, an error of
the latter changes the solution by h^(q-1) times the error. Contributions with opposite signs
cancel: in two steps of reversible Heun of different sizes, Z occurs with h in several places, but
with h^2 in their sum.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sympy.polys.fields import FracElement

from odenet.derive.h_series import PowerSeries, add, multiply
from odenet.derive.linear_forms import Algebra, BasisElement, Form
from odenet.model.expressions.expr import Slot

HIGHEST_POWER = 3  # higher powers of h are not computed
# The right-hand sides around a value, from the outermost, each with the number of the argument.
Path = tuple[tuple[str, int], ...]
# The dependence of a value on stored ones, to first order. First (unknown, path) -> the sum of all
# coefficients; then unknown -> the lowest power of h in any single term, before terms cancel.
Dependence = tuple[dict[tuple[str, Path], PowerSeries], dict[str, int]]


class Influence:
    """How the values that a step computes depend on those before it, to first order.

    Args:
        algebra: has the right-hand sides.
        to_series: gives a coefficient as a power series in h.

    Attributes:
        atom_dependences: for each atom of the algebra, the dependence of its value.
    """

    def __init__(self, algebra: Algebra, to_series: Callable[[FracElement], PowerSeries]):
        self.to_series = to_series
        self.atom_dependences: list[Dependence] = []
        for atom in algebra.atoms:
            arguments = enumerate(map(self.dependence, atom.arguments))
            dependences = (_nested(d, (atom.function, i)) for i, d in arguments)
            self.atom_dependences.append(_total(dependences))

    def dependence(self, form: Form) -> Dependence:
        """The dependence of a linear form on stored values."""
        factors = ((key, self.to_series(factor)) for key, factor in form.items())
        return _total(self._scaled(factor, key) for key, factor in factors if factor)

    def _scaled(self, factor: PowerSeries, key: BasisElement) -> Dependence:
        """The dependence of a factor times a stored value or a right-hand side."""
        by_path, lowest = _identity(key) if isinstance(key, Slot) else self.atom_dependences[key]
        return (
            {origin: multiply(factor, powers, HIGHEST_POWER) for origin, powers in by_path.items()},
            {name: min(factor) + power for name, power in lowest.items()},
        )

    def lowest_powers(self, form: Form) -> dict[str, int]:
        """Unknown -> the lowest power of h with which a form depends on it, after cancellation.

        If terms cancel, this counts as one power more at most.
        """
        by_path, lowest = self.dependence(form)
        found = {name: min(power + 1, HIGHEST_POWER) for name, power in lowest.items()}
        for (name, _), powers in by_path.items():
            found[name] = min([found[name], *powers])
        return found


def _identity(slot: Slot) -> Dependence:
    """The dependence of a stored value on itself."""
    return {(slot.name, ()): {0: 1}}, {slot.name: 0}


def _nested(dependence: Dependence, argument: tuple[str, int]) -> Dependence:
    """The same dependence, inside an argument of a right-hand side."""
    by_path, lowest = dependence
    return {(name, (argument, *path)): powers for (name, path), powers in by_path.items()}, lowest


def _total(dependences: Iterable[Dependence]) -> Dependence:
    """The sum of several dependences."""
    total_by_path: dict[tuple[str, Path], PowerSeries] = {}
    total_lowest: dict[str, int] = {}
    for by_path, lowest in dependences:
        for origin, powers in by_path.items():
            total_by_path[origin] = add(total_by_path.get(origin, {}), powers)
        for name, power in lowest.items():
            total_lowest[name] = min(power, total_lowest.get(name, power))
    return total_by_path, total_lowest


def delays(
    new_values: Mapping[Slot, Form],
    influence: Influence,
    pattern_unknowns: Sequence[str],
    aux: Sequence[str],
) -> dict[str, int]:
    """Auxiliary unknown -> by how many powers of h its errors shrink on their way to the solution.

    The first h is not counted: errors of h F(Y) in every step add up to an error of F(Y). Errors
    may reach the solution through other unknowns, so shortest paths are searched.

    Args:
        new_values: slot -> the linear form it holds after a step.
        influence: how these forms depend on the values before the step.
        pattern_unknowns: the unknowns of the equations.
        aux: the auxiliary unknowns.
    """
    edges: dict[tuple[str, str], int] = {}
    for target, form in new_values.items():
        for name, power in influence.lowest_powers(form).items():
            edges[name, target.name] = min(power, edges.get((name, target.name), power))
    found = dict.fromkeys(pattern_unknowns, 0)
    for _ in aux:
        for (source, target), power in edges.items():
            if source in aux and target in found:
                delay = max(power - 1, 0) + found[target]
                found[source] = min(found.get(source, delay), delay)
    return {name: found.get(name, 0) for name in aux}
