"""The values of one step as series over trees, read from its linear forms."""

from collections.abc import Callable
from dataclasses import dataclass

from sympy.polys.fields import FracElement

from odenet.derive.h_series import NoSeries, Powers, add, multiply
from odenet.derive.linear_forms import Algebra, Form
from odenet.derive.linear_forms import add as plus
from odenet.derive.remembered import remembered
from odenet.derive.trees import Forest, Key
from odenet.model.expressions.expr import Slot


@dataclass(eq=False)
class StepSeries:
    """The coefficient of any form on any tree, from those of the stored values.

    Args:
        algebra: the right-hand sides that forms name.
        forest: the trees.
        read: a coefficient of the scheme as a power series in h.
        stored: the coefficient of a stored value on a tree.
        limit: the highest power of h that is kept.
    """

    algebra: Algebra
    forest: Forest
    read: Callable[[FracElement], Powers]
    stored: Callable[[Slot, Key], Powers]
    limit: int

    def value(self, form: Form, key: Key) -> Powers:
        """A form's coefficient on a tree.

        Raises:
            NoSeries: a right-hand side is evaluated away from the solution.
        """
        total: Powers = {}
        for name, factor in form.items():
            inner = self._rate(name, key) if isinstance(name, int) else self.stored(name, key)
            if inner:
                total = add(total, multiply(self.read(factor), inner, self.limit))
        return total

    @remembered
    def _rate(self, index: int, key: Key) -> Powers:
        """F(value) has on [t1 … tk] the coefficient a(t1) … a(tk)."""
        atom = self.algebra.atoms[index]
        if isinstance(key, str) or key[0] != atom.function:
            return {}
        self._check_near(index)
        found: Powers = {0: 1}
        for place, child in key[1]:
            inner = self._argument(index, place, child)
            if inner and min(inner) < self.forest.weight(child):
                where = atom.operands[place]
                raise NoSeries("this moves by more than a multiple of h in a step", where)
            found = multiply(found, inner, self.limit)
            if not found:
                break
        return found

    @remembered
    def _argument(self, index: int, place: int, key: Key) -> Powers:
        """An argument's coefficient: that of the stage before, and what the stages differ in."""
        before, change = self._change(index, place)
        found = self.value(change, key)
        return found if before is None else add(found, self._argument(before, place, key))

    @remembered
    def _change(self, index: int, place: int) -> tuple[int | None, Form]:
        atoms = self.algebra.atoms
        form = atoms[index].arguments[place]
        for other in reversed(range(index)):
            if atoms[other].function == atoms[index].function:
                change = plus(form, atoms[other].arguments[place], -1)
                return (other, change) if len(change) < len(form) else (None, form)
        return None, form

    @remembered
    def _check_near(self, index: int) -> None:
        """Every argument has to be the unknown that is there, and a sum of rates."""
        atom = self.algebra.atoms[index]
        reads = self.forest.of_function[atom.function].reads
        for place, name in enumerate(reads):
            for other in self.forest.of_variable:
                found = self._argument(index, place, other)
                if found == ({0: 1} if other == name else {}):
                    continue
                where = atom.operands[place]
                if found.get(0, 0) != (1 if other == name else 0) or min(found) < 0:
                    raise NoSeries(f"this does not tend to {name} as h tends to 0", where)
                raise NoSeries(f"this is not {name} and a sum of right-hand sides", where)
