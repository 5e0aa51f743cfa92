"""The values of one step as linear forms in the stored values and the right-hand sides.

A right-hand side at given arguments, `F(Z[n] + h/2 G(Y[n]))`, is one opaque symbol, an *atom*, and
so is a map of the file at a given argument. Equal arguments give the same atom. Atoms and stored
values are linearly independent, so the algebra of a scheme is linear algebra over its field of
coefficients. A factor `exp(…)` of a value, whose exponent is a linear form, is an element of that
field (`coefficients.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sympy.polys.fields import FracElement

from odenet.derive.coefficients import CoefficientField
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import MapCall, Rate, Slot, Stage
from odenet.model.expressions.fold import linear_terms
from odenet.model.typed.scheme import Scheme, Update

# What a linear form is a combination of: stored values, and atoms by their number.
BasisElement = Slot | int
Form = dict[BasisElement, FracElement]
Key = TypeVar("Key")
Name = TypeVar("Name")
Direction = frozenset[tuple[BasisElement, FracElement]]


@dataclass(frozen=True)
class Atom:
    """A right-hand side, or a map of the file, at given arguments.

    Args:
        arguments: linear forms in stored values and earlier atoms.
        node: its first occurrence in the text.
    """

    arguments: tuple[Form, ...]
    node: Rate | MapCall

    @property
    def function(self) -> str:
        """The name of the function in the scheme, or of the map in the file."""
        named = self.node.function
        return named if isinstance(named, str) else named.name

    @property
    def operands(self) -> tuple[expr.Node, ...]:
        """The arguments as they are written in the text."""
        return self.node.arguments if isinstance(self.node, Rate) else (self.node.operand,)

    def with_arguments(self, arguments: tuple[expr.Node, ...]) -> Rate | MapCall:
        """The same function at other arguments."""
        if isinstance(self.node, Rate):
            return Rate(self.node.function, arguments, self.node.time, span=self.node.span)
        return MapCall(self.node.function, arguments[0], span=self.node.span)


@dataclass(frozen=True)
class Line:
    """A line of the scheme with the value it computes as a linear form.

    Args:
        target: the slot or stage on the left.
        form: the value.
        update: the line as parsed.
    """

    target: Slot | Stage
    form: Form
    update: Update


def add(
    one: dict[Key, FracElement], other: dict[Key, FracElement], factor: FracElement | int = 1
) -> dict[Key, FracElement]:
    """The sum one + factor * other."""
    total = dict(one)
    for key, value in scale(other, factor).items():
        found = total.pop(key) + value if key in total else value
        if found:
            total[key] = found
    return total


def scale(form: dict[Key, FracElement], factor: FracElement | int) -> dict[Key, FracElement]:
    """The form times a factor; no arithmetic is done for 1 and -1."""
    if factor == 1:
        return form
    if factor == -1:
        return {key: -value for key, value in form.items()}
    return {key: value * factor for key, value in form.items()} if factor else {}


class Algebra:
    """Reads expressions of a scheme as linear forms; equal right-hand sides become one atom.

    Attributes:
        coeff_field: the field of coefficients.
        atoms: right-hand sides and maps, in the order of the text.
        exponents: the exponents of factors `exp(…)`, in the order of the field's generators.
    """

    def __init__(self, coeff_field: CoefficientField):
        self.coeff_field = coeff_field
        self.atoms: list[Atom] = []
        self.exponents: list[Form] = []
        self._atom_numbers: dict[object, int] = {}

    def over_field(self, coeff_field: CoefficientField) -> "Algebra":
        """An algebra with the same atoms over another field of coefficients."""
        other = Algebra(coeff_field)
        other.atoms, other._atom_numbers = self.atoms, self._atom_numbers
        other.exponents = self.exponents
        return other

    def form_of(self, slot: Slot) -> Form:
        """The form that consists of one stored value."""
        return {slot: self.coeff_field.sympy_field.one}

    def apply(self, rate: Rate | MapCall, arguments: tuple[Form, ...]) -> Form:
        """A right-hand side at given values, as the linear form that is one atom."""
        key = (rate.function, tuple(frozenset(form.items()) for form in arguments))
        if key not in self._atom_numbers:
            self._atom_numbers[key] = len(self.atoms)
            self.atoms.append(Atom(arguments, rate))
        return {self._atom_numbers[key]: self.coeff_field.sympy_field.one}

    def stretch(self, form: Form) -> FracElement:
        """exp(form) as an element of the field; exp(-form) is its inverse."""
        if not form:
            return self.coeff_field.sympy_field.one
        for sign in (1, -1):
            if (multiple := scale(form, sign)) in self.exponents:
                return self.coeff_field.stretches[self.exponents.index(multiple)] ** sign
        self.exponents.append(form)
        return self.coeff_field.stretches[len(self.exponents) - 1]

    def read(self, node: expr.Node, values: dict[expr.Node, Form]) -> Form:
        """An expression for a value as a linear form.

        Args:
            node: the expression.
            values: the forms of the slots and stages in it.

        Raises:
            SpecError: it is not linear in stored values and right-hand sides.
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
                for factor, part in linear_terms(node, self.coeff_field.read):
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
                allowed = "adds values and multiplies them by numbers or by `exp(…)`"
                message = f"a scheme {allowed}, nothing else"
                help_ = "write a sum of right-hand sides"
                if isinstance(node, expr.ElementwiseExp):
                    help_ = "write what it multiplies: `exp(s(Z[n])) * Y[n]`"
                raise SpecError.of("not-linear", message, node.span, help_)

    def run_lines(
        self, updates: Iterable[Update], values: dict[expr.Node, Form]
    ) -> tuple[Line, ...]:
        """Read lines top to bottom, and add the value of each to `values`."""
        lines: list[Line] = []
        for update in updates:
            if update.target in values:
                raise AssertionError(f"{update.target} is computed twice")
            values[update.target] = self.read(update.value, values)
            lines.append(Line(update.target, values[update.target], update))
        return tuple(lines)


@dataclass(frozen=True)
class Step:
    """One step of a scheme, as linear forms in the values stored before it.

    Args:
        algebra: has the atoms.
        registers: the stored values, named by their slots before the step.
        lines: the lines of the text with their values.
        new_values: slot -> the form it holds after the step.
    """

    algebra: Algebra
    registers: tuple[Slot, ...]
    lines: tuple[Line, ...]
    new_values: dict[Slot, Form]


def read_step(scheme: Scheme, algebra: Algebra) -> Step:
    """The linear forms of one step.

    Args:
        scheme: the scheme, as parsed.
        algebra: reads the lines; the atoms are added to it.
    """
    values: dict[expr.Node, Form] = {slot: algebra.form_of(slot) for slot in scheme.slots}
    lines = algebra.run_lines(scheme.updates, values)
    new_values = {slot: values[Slot(slot.name, slot.offset + 1)] for slot in scheme.slots}
    return Step(algebra, scheme.slots, lines, new_values)


# --- forms as combinations of other forms --------------------------------------------------------


@dataclass(frozen=True)
class _Pivot(Generic[Name]):
    """A row of an elimination: a reduced form, and how it is combined from the given forms.

    Args:
        key: the element that is eliminated from later forms; its factor here is 1.
        form: the reduced form.
        combination: name of a given form -> factor.
    """

    key: BasisElement
    form: Form
    combination: dict[Name, FracElement]


def express(form: Form, rows: Mapping[Name, Form]) -> dict[Name, FracElement] | None:
    """The factors with which a form is a combination of other forms; None if it is not one.

    If there are several such combinations, it is one in which the last rows have the factor 0.
    """
    if not form.keys() <= set[BasisElement]().union(*rows.values()):
        return None
    pivots: list[_Pivot[Name]] = []
    for name, row in rows.items():
        rest, used = _reduce(row, pivots)
        if rest:
            key = min(rest, key=_sort_key)
            factor = rest[key] ** -1
            combination = add(scale(used, -factor), {name: factor})
            pivots.append(_Pivot(key, scale(rest, factor), combination))
    rest, used = _reduce(form, pivots)
    return None if rest else used


def _reduce(form: Form, pivots: list[_Pivot[Name]]) -> tuple[Form, dict[Name, FracElement]]:
    """A form without the pivot elements, and the combination that was subtracted for this."""
    used: dict[Name, FracElement] = {}
    for pivot in pivots:
        if pivot.key in form:
            factor = form[pivot.key]
            form = add(form, pivot.form, -factor)
            used = add(used, pivot.combination, factor)
    return form, used


def direction(form: Form) -> tuple[Direction, FracElement]:
    """A form scaled so that all its multiples are equal, and the factor to get this form back."""
    factor = form[min(form, key=_sort_key)]
    return frozenset(scale(form, factor**-1).items()), factor


def _sort_key(key: BasisElement) -> tuple[int, int] | tuple[int, str, int]:
    """The order of elements: stored values by name and age, then atoms as in the text."""
    return (1, key) if isinstance(key, int) else (0, key.name, key.offset)
