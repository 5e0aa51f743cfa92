"""The values of one step as series over trees (B-series), from its linear forms."""

from collections.abc import Callable
from dataclasses import dataclass

from sympy.polys.fields import FracElement

from odenet.derive.cached_method import cached_method
from odenet.derive.h_series import NoSeries, PowerSeries, add, multiply
from odenet.derive.linear_forms import Algebra, Form
from odenet.derive.linear_forms import add as plus
from odenet.derive.trees import Forest, Tree
from odenet.model.expressions.expr import Slot


@dataclass(eq=False)
class StepSeries:
    """Computes the coefficient of any linear form on any tree, from those of the stored values.

    Args:
        algebra: has the right-hand sides that occur in forms.
        forest: the trees.
        to_series: gives a coefficient of the scheme as a power series in h.
        max_degree: the highest power of h that is kept.
        stored_coefficient: gives the coefficient of a stored value on a tree.
    """

    algebra: Algebra
    forest: Forest
    to_series: Callable[[FracElement], PowerSeries]
    max_degree: int
    stored_coefficient: Callable[[Slot, Tree], PowerSeries]

    def coefficient(self, form: Form, tree: Tree) -> PowerSeries:
        """A form's coefficient on a tree.

        Raises:
            NoSeries: a right-hand side is evaluated away from the solution.
        """
        total: PowerSeries = {}
        for element, factor in form.items():
            inner = (
                self._rate_coefficient(element, tree)
                if isinstance(element, int)
                else self.stored_coefficient(element, tree)
            )
            if inner:
                total = add(total, multiply(self.to_series(factor), inner, self.max_degree))
        return total

    @cached_method
    def _rate_coefficient(self, index: int, tree: Tree) -> PowerSeries:
        """The coefficient of atom `index`: for F(value) on [t1 … tk] it is a(t1) … a(tk)."""
        atom = self.algebra.atoms[index]
        if isinstance(tree, str) or tree[0] != atom.function:
            return {}
        self._check_tends_to_unknown(index)
        found: PowerSeries = {0: 1}
        for argument, child in tree[1]:
            inner = self._argument_coefficient(index, argument, child)
            if inner and min(inner) < self.forest.weight(child):
                operand = atom.operands[argument]
                raise NoSeries("this moves by more than a multiple of h in a step", operand)
            found = multiply(found, inner, self.max_degree)
            if not found:
                break
        return found

    @cached_method
    def _argument_coefficient(self, index: int, argument: int, tree: Tree) -> PowerSeries:
        """The coefficient of an argument of atom `index`.

        It is that of an earlier atom's argument plus that of the difference, if that is shorter.
        """
        earlier, change = self._change_from_earlier(index, argument)
        found = self.coefficient(change, tree)
        if earlier is None:
            return found
        return add(found, self._argument_coefficient(earlier, argument, tree))

    @cached_method
    def _change_from_earlier(self, index: int, argument: int) -> tuple[int | None, Form]:
        """An earlier atom of the same function, and the difference of an argument to that there.

        None and the argument itself if the difference is not shorter than the argument.
        """
        atoms = self.algebra.atoms
        form = atoms[index].arguments[argument]
        for other in reversed(range(index)):
            if atoms[other].function == atoms[index].function:
                change = plus(form, atoms[other].arguments[argument], -1)
                return (other, change) if len(change) < len(form) else (None, form)
        return None, form

    @cached_method
    def _check_tends_to_unknown(self, index: int) -> None:
        """Check that every argument of atom `index` is its unknown plus a sum of right-hand sides.

        Raises:
            NoSeries: it is not.
        """
        atom = self.algebra.atoms[index]
        for argument, name in enumerate(self.forest.pattern_of_function[atom.function].reads):
            for other in self.forest.pattern_of_variable:
                found = self._argument_coefficient(index, argument, other)
                if found == ({0: 1} if other == name else {}):
                    continue
                operand = atom.operands[argument]
                if found.get(0, 0) != (1 if other == name else 0) or min(found) < 0:
                    raise NoSeries(f"this does not tend to {name} as h tends to 0", operand)
                raise NoSeries(f"this is not {name} and a sum of right-hand sides", operand)
