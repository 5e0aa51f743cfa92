"""The values of one step as linear forms in the stored values and the right-hand sides.

A right-hand side at given arguments, `F(Z[n] + h/2 G(Y[n]))`, is one opaque symbol, an *atom*;
equal arguments give the same atom, and so do those of a map of the file. Atoms commute and are
linearly independent of the stored values, so all of a scheme's algebra is linear algebra over its
field of coefficients. The exponential of a form, which multiplies values, is an element of that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sympy.polys.fields import FracElement

from odenet.derive.coefficients import Scalars
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import MapCall, Rate, Slot, Stage
from odenet.model.expressions.fold import linear_terms
from odenet.model.typed.scheme import Scheme, Update

Key = Slot | int
Form = dict[Key, FracElement]
Term = TypeVar("Term")
Name = TypeVar("Name")
Direction = frozenset[tuple[Key, FracElement]]


@dataclass(frozen=True)
class Atom:
    """A right-hand side, or a map of the file, at given arguments.

    Args:
        arguments: linear forms in stored values and earlier atoms.
        node: where the author wrote it first.
    """

    arguments: tuple[Form, ...]
    node: Rate | MapCall

    @property
    def function(self) -> str:
        """Its name in the scheme, or in the file."""
        named = self.node.function
        return named if isinstance(named, str) else named.name

    @property
    def operands(self) -> tuple[expr.Node, ...]:
        """What the author wrote for the arguments."""
        return self.node.arguments if isinstance(self.node, Rate) else (self.node.operand,)

    def at(self, arguments: tuple[expr.Node, ...]) -> Rate | MapCall:
        """The same function of other arguments."""
        if isinstance(self.node, Rate):
            return Rate(self.node.function, arguments, self.node.time, span=self.node.span)
        return MapCall(self.node.function, arguments[0], span=self.node.span)


@dataclass(frozen=True)
class Line:
    """A line of the scheme and the value it computes."""

    target: Slot | Stage
    form: Form
    update: Update


def add(
    one: dict[Term, FracElement], other: dict[Term, FracElement], factor: FracElement | int = 1
) -> dict[Term, FracElement]:
    """The sum one + factor * other."""
    total = dict(one)
    for key, value in scale(other, factor).items():
        found = total.pop(key) + value if key in total else value
        if found:
            total[key] = found
    return total


def scale(form: dict[Term, FracElement], factor: FracElement | int) -> dict[Term, FracElement]:
    """The form times a factor; 1 and -1 cost nothing."""
    if factor == 1:
        return form
    if factor == -1:
        return {key: -value for key, value in form.items()}
    return {key: value * factor for key, value in form.items()} if factor else {}


class Algebra:
    """Reads expressions of a scheme as linear forms; equal right-hand sides become one atom.

    Attributes:
        scalars: the field of coefficients.
        atoms: right-hand sides and maps, in the order of the text.
        exponents: the forms whose exponentials are generators of the field, in its order.
    """

    def __init__(self, scalars: Scalars):
        self.scalars = scalars
        self.atoms: list[Atom] = []
        self.exponents: list[Form] = []
        self._table: dict[object, int] = {}

    def in_scalars(self, scalars: Scalars) -> "Algebra":
        """The same atoms, for a text whose constants mean something else."""
        other = Algebra(scalars)
        other.atoms, other._table = self.atoms, self._table
        other.exponents = self.exponents
        return other

    def register(self, slot: Slot) -> Form:
        """The form that is one stored value."""
        return {slot: self.scalars.field.one}

    def apply(self, rate: Rate | MapCall, arguments: tuple[Form, ...]) -> Form:
        """A right-hand side at given values: an atom, numbered in the order of the text."""
        key = (rate.function, tuple(frozenset(form.items()) for form in arguments))
        if key not in self._table:
            self._table[key] = len(self.atoms)
            self.atoms.append(Atom(arguments, rate))
        return {self._table[key]: self.scalars.field.one}

    def stretch(self, form: Form) -> FracElement:
        """The exponential of a form; that of its negative is one over it."""
        if not form:
            return self.scalars.field.one
        for sign in (1, -1):
            if (same := scale(form, sign)) in self.exponents:
                return self.scalars.stretches[self.exponents.index(same)] ** sign
        self.exponents.append(form)
        return self.scalars.stretches[len(self.exponents) - 1]

    def read(self, node: expr.Node, values: dict[expr.Node, Form]) -> Form:
        """A field expression as a form.

        Args:
            node: the expression.
            values: the forms of the slots and stages it names.

        Raises:
            SpecError: it is not linear in fields and right-hand sides.
        """
        match node:
            case Slot() | Stage() if node in values:
                return values[node]
            case Slot() | Stage():
                message = "this is used before the line that computes it"
                raise SpecError.of("scheme-line", message, node.span)
            case expr.Zero():
                return {}
            case expr.Sum() | expr.Product() | expr.Quotient():
                total: Form = {}
                for factor, part in linear_terms(node, self.scalars.read):
                    total = add(total, self.read(part, values), factor)
                return total
            case Rate():
                arguments = tuple(self.read(argument, values) for argument in node.arguments)
                return self.apply(node, arguments)
            case MapCall():
                return self.apply(node, (self.read(node.operand, values),))
            case expr.Hadamard(expr.ElementwiseExp(inside), part) | expr.Hadamard(
                part, expr.ElementwiseExp(inside)
            ):
                return scale(self.read(part, values), self.stretch(self.read(inside, values)))
            case _:
                message = (
                    "a scheme adds values and multiplies them by numbers or by `exp(…)`, "
                    "nothing else"
                )
                help_ = "write a sum of right-hand sides"
                if isinstance(node, expr.ElementwiseExp):
                    help_ = "write what it multiplies: `exp(s(Z[n])) * Y[n]`"
                raise SpecError.of("not-linear", message, node.span, help_)

    def run(self, updates: Iterable[Update], values: dict[expr.Node, Form]) -> tuple[Line, ...]:
        """The lines top to bottom; `values` takes each line's value."""
        lines: list[Line] = []
        for update in updates:
            if update.target in values:
                raise AssertionError(f"{update.target} is computed twice")
            values[update.target] = self.read(update.value, values)
            lines.append(Line(update.target, values[update.target], update))
        return tuple(lines)


@dataclass(frozen=True)
class Step:
    """One step of a scheme, as forms in the values stored before it.

    Args:
        registers: the stored values.
        lines: the lines of the text with their values.
        after: slot -> the form it holds after the step.
    """

    algebra: Algebra
    registers: tuple[Slot, ...]
    lines: tuple[Line, ...]
    after: dict[Slot, Form]


def read_step(scheme: Scheme, algebra: Algebra) -> Step:
    """One step from its text.

    Args:
        scheme: the text.
        algebra: takes the atoms.
    """
    values: dict[expr.Node, Form] = {slot: algebra.register(slot) for slot in scheme.slots}
    lines = algebra.run(scheme.updates, values)
    after = {slot: values[Slot(slot.name, slot.offset + 1)] for slot in scheme.slots}
    return Step(algebra, scheme.slots, lines, after)


# --- forms by others -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pivot(Generic[Name]):
    """A form reduced by those before it, and the combination of given forms that it is."""

    key: Key
    form: Form
    combination: dict[Name, FracElement]


def express(form: Form, rows: Mapping[Name, Form]) -> dict[Name, FracElement] | None:
    """The coefficients that write a form as a combination of others, None if it is not one.

    Where several combinations do, later rows get 0.
    """
    if not form.keys() <= set[Key]().union(*rows.values()):
        return None
    pivots: list[_Pivot[Name]] = []
    for name, row in rows.items():
        rest, used = _reduce(row, pivots)
        if rest:
            key = min(rest, key=_order)
            factor = rest[key] ** -1
            combination = add(scale(used, -factor), {name: factor})
            pivots.append(_Pivot(key, scale(rest, factor), combination))
    rest, used = _reduce(form, pivots)
    return None if rest else used


def _reduce(form: Form, pivots: list[_Pivot[Name]]) -> tuple[Form, dict[Name, FracElement]]:
    """What is left of a form, and the combination that was taken off."""
    used: dict[Name, FracElement] = {}
    for pivot in pivots:
        if pivot.key in form:
            factor = form[pivot.key]
            form = add(form, pivot.form, -factor)
            used = add(used, pivot.combination, factor)
    return form, used


def direction(form: Form) -> tuple[Direction, FracElement]:
    """A key that is the same for all multiples of a form, and the factor of this one."""
    factor = form[min(form, key=_order)]
    return frozenset(scale(form, factor**-1).items()), factor


def _order(key: Key) -> tuple[int, int] | tuple[int, str, int]:
    """Stored values by name and age, then atoms in the order of the text."""
    return (1, key) if isinstance(key, int) else (0, key.name, key.offset)
