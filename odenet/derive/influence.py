"""With which power of h the pattern's unknowns read the scheme's own ones in a step.

An error of an own unknown that enters with h^q moves the solution by h^(q-1) times itself. What is
read with both signs cancels: in two steps of reversible Heun, of other sizes, Z enters F with h in
each place, and with h^2 altogether.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sympy.polys.fields import FracElement

from odenet.derive.h_series import Powers, add, multiply
from odenet.derive.linear_forms import Algebra, Form, Key
from odenet.model.expressions.expr import Slot

HIGHEST = 3  # powers of h that are looked at
Path = tuple[tuple[str, int], ...]  # the right-hand sides around a value, and in which argument
# What is read: added up with signs, and the least power of h of any one term.
Reading = tuple[dict[tuple[str, Path], Powers], dict[str, int]]


class Influence:
    """How values of a step depend on those before it, to first order.

    Args:
        algebra: the right-hand sides.
        read: a coefficient as a power series in h.
    """

    def __init__(self, algebra: Algebra, read: Callable[[FracElement], Powers]):
        self.read = read
        self.atoms: list[Reading] = []
        for atom in algebra.atoms:
            arguments = enumerate(map(self.of, atom.arguments))
            self.atoms.append(_added(_inside(r, (atom.function, i)) for i, r in arguments))

    def of(self, form: Form) -> Reading:
        """What a form reads."""
        factors = ((key, self.read(factor)) for key, factor in form.items())
        return _added(self._times(own, key) for key, own in factors if own)

    def _times(self, own: Powers, key: Key) -> Reading:
        """What a stored value or a right-hand side reads, times a factor."""
        signed, least = _itself(key) if isinstance(key, Slot) else self.atoms[key]
        return (
            {where: multiply(own, powers, HIGHEST) for where, powers in signed.items()},
            {name: min(own) + power for name, power in least.items()},
        )

    def powers(self, form: Form) -> dict[str, int]:
        """Unknown -> the least power of h with which a form reads it, all in all."""
        total, least = self.of(form)
        found = {name: min(power + 1, HIGHEST) for name, power in least.items()}
        for (name, _), powers in total.items():
            found[name] = min([found[name], *powers])
        return found


def _itself(slot: Slot) -> Reading:
    return {(slot.name, ()): {0: 1}}, {slot.name: 0}


def _inside(reading: Reading, place: tuple[str, int]) -> Reading:
    """What is read inside an argument of a right-hand side."""
    signed, least = reading
    return {(name, (place, *path)): powers for (name, path), powers in signed.items()}, least


def _added(readings: Iterable[Reading]) -> Reading:
    """What is read all in all."""
    total: Reading = {}, {}
    for signed, least in readings:
        for where, powers in signed.items():
            total[0][where] = add(total[0].get(where, {}), powers)
        for name, power in least.items():
            total[1][name] = min(power, total[1].get(name, power))
    return total


def delays(
    after: Mapping[Slot, Form], influence: Influence, solved: Sequence[str], own: Sequence[str]
) -> dict[str, int]:
    """Own unknown -> by how many powers of h, beyond the first, its errors arrive smaller.

    Args:
        after: slot -> what it holds after a step.
        influence: of the values before it.
        solved: the unknowns of the pattern.
        own: those of the scheme.
    """
    edges: dict[tuple[str, str], int] = {}
    for to, form in after.items():
        for name, power in influence.powers(form).items():
            edges[name, to.name] = min(power, edges.get((name, to.name), power))
    found = dict.fromkeys(solved, 0)
    for _ in own:
        for (of, to), power in edges.items():
            if of in own and to in found:
                late = max(power - 1, 0) + found[to]
                found[of] = min(found.get(of, late), late)
    return {name: found.get(name, 0) for name in own}
