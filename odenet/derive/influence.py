"""With which power of h the pattern's unknowns read the scheme's own ones in a step.

An error of an own unknown that enters with h^q moves the solution by h^(q-1) times itself. What is
read with both signs cancels: in two steps of reversible Heun, of other sizes, Z enters F with h in
each place, and with h^2 altogether.
"""

from collections.abc import Callable, Mapping, Sequence

from sympy.polys.fields import FracElement

from odenet.derive.h_series import Powers, add, multiply
from odenet.derive.linear_forms import Algebra, Form
from odenet.model.expressions.expr import Slot

HIGHEST = 3  # powers of h that are looked at
Path = tuple[tuple[str, int], ...]  # the right-hand sides around a value, and in which argument
Read = dict[tuple[str, Path], Powers]


class Influence:
    """How values of a step depend on those before it, to first order.

    Args:
        algebra: the right-hand sides.
        read: a coefficient as a power series in h.
    """

    def __init__(self, algebra: Algebra, read: Callable[[FracElement], Powers]):
        self.read = read
        self.signed: list[Read] = []
        self.lowest: list[dict[str, int]] = []
        for atom in algebra.atoms:
            total: Read = {}
            least: dict[str, int] = {}
            for place, argument in enumerate(atom.arguments):
                signed, lowest = self.of(argument)
                for (name, path), powers in signed.items():
                    key = name, ((atom.function, place), *path)
                    total[key] = add(total.get(key, {}), powers)
                for name, power in lowest.items():
                    least[name] = min(power, least.get(name, power))
            self.signed.append(total)
            self.lowest.append(least)

    def of(self, form: Form) -> tuple[Read, dict[str, int]]:
        """What a form reads: added up with signs, and the least power of h of any one term."""
        total: Read = {}
        least: dict[str, int] = {}
        for key, factor in form.items():
            own = self.read(factor)
            if not own:
                continue
            at: Read = {(key.name, ()): {0: 1}} if isinstance(key, Slot) else self.signed[key]
            low = {key.name: 0} if isinstance(key, Slot) else self.lowest[key]
            for where, powers in at.items():
                found = multiply(own, powers, HIGHEST)
                total[where] = add(total.get(where, {}), found)
            for name, power in low.items():
                found_power = min(own) + power
                least[name] = min(found_power, least.get(name, found_power))
        return total, least

    def powers(self, form: Form) -> dict[str, int]:
        """Unknown -> the least power of h with which a form reads it, all in all."""
        total, least = self.of(form)
        found = {name: min(power + 1, HIGHEST) for name, power in least.items()}
        for (name, _), powers in total.items():
            found[name] = min([found[name], *powers])
        return found


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
