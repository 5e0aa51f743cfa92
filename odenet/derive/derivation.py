"""Everything that follows from the text of a scheme."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy

from odenet.derive import describe
from odenet.derive.axis import AxisName
from odenet.derive.exact_numbers import absolute, as_sympy, constants, definitions, put_in
from odenet.derive.inverse import Undo, proof_lines
from odenet.derive.linear_step import Rates, characteristic
from odenet.derive.obstacle import Obstacle
from odenet.derive.order import Order, derive_order
from odenet.derive.remembered import remembered
from odenet.derive.roundtrip import MOST_DIFFERENT, MOST_STEPS, RoundTrip, predict_roundtrip
from odenet.derive.shears import Shear
from odenet.derive.stability import Stability, derive_stability
from odenet.derive.symmetry import is_symmetric, symmetry_order
from odenet.derive.text import notation
from odenet.derive.varying_order import generic, varying_order
from odenet.model.expressions.expr import ElementwiseExp, Node, Slot
from odenet.model.typed.scheme import Scheme, Update
from odenet.model.typed.step_constants import Number


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """What a scheme's text implies; prints itself.

    Attributes:
        scheme: the text.
        shears: one step as shears in forward order; None where there is no explicit inverse.
        relabel: register -> the slot it holds after the step, for registers that change places.
        conditions: expressions in the constants that must not be zero for the inverse to exist.
        obstacle: why there is no explicit inverse, where there is none.
        values: of the constants and of h where the scheme is used, in place of the defaults; all
            properties that are numbers are those at these values.
        varying: the constants, h among them, that differ from step to step; what is said of the
            order holds whatever their values are.
    """

    scheme: Scheme
    shears: tuple[Shear, ...] | None = None
    relabel: Mapping[Slot, Slot] = field(default_factory=dict[Slot, Slot])
    conditions: tuple[sympy.Expr, ...] = ()
    obstacle: Obstacle | None = None
    _undone: tuple[Undo, ...] = field(default=(), repr=False)
    values: Mapping[str, Number] = field(default_factory=dict[str, Number])
    varying: tuple[str, ...] = ()

    @property
    def forward(self) -> tuple[Update, ...]:
        """The step: the author's lines."""
        return self.scheme.updates

    @property
    def inverse(self) -> tuple[Update, ...] | None:
        """The lines of the inverse step, top to bottom; None where it is not explicit."""
        return None if self.shears is None else tuple(undo.backward for undo in self._undone)

    @property
    def reversible(self) -> bool:
        """Whether the inverse is explicit."""
        return self.shears is not None

    @property
    def definitions(self) -> Mapping[str, sympy.Expr]:
        """The scheme's own numbers, as it defines them."""
        return definitions(self.scheme)

    @cached_property
    def proof(self) -> tuple[str, ...]:
        """Lines `… = 0`: every shear put into its inverse, the difference reduced by sympy."""
        return proof_lines(self._undone, notation(self.scheme))

    @property
    def latex_proof(self) -> tuple[str, ...]:
        """The lines of `proof` in LaTeX."""
        return proof_lines(self._undone, notation(self.scheme, latex=True))

    def violated(self, values: Mapping[str, Number] | None = None) -> tuple[sympy.Expr, ...]:
        """The conditions that fail at given values of the constants, and of h.

        A condition on what has no value is not among them.
        """
        numbers = self._numbers(values)
        return tuple(c for c in self.conditions if put_in(c, numbers).evalf(30) == 0)

    def underflow(self, values: Mapping[str, Number]) -> tuple[sympy.Expr, ...]:
        """The scales of shears that are not zero, but are in double precision, as exp(-1000)."""
        broken = self.violated(values)
        scales = () if broken else (shear.scale for shear in self.shears or ())
        return tuple(scale for scale in scales if self._number(scale, values) == 0)

    def _numbers(self, values: Mapping[str, Number] | None) -> dict[sympy.Symbol, sympy.Expr]:
        known = constants(self.scheme, {**self.values, **(values or {})})
        return {sympy.Symbol(name): as_sympy(value) for name, value in known.items()}

    @cached_property
    def accuracy(self) -> Order:
        """The order of accuracy, and what limits it."""
        return self.order_at({})

    @property
    def order(self) -> int | None:
        """The order of accuracy; None where `accuracy` says why there is none."""
        return self.accuracy.value

    def order_at(self, values: Mapping[str, Number]) -> Order:
        """The order of accuracy at given values of the constants."""
        known = {**self.values, **values}
        if self.varying:
            return varying_order(self.scheme, known, self.varying)
        return derive_order(self.scheme, known)

    @cached_property
    def symmetric(self) -> bool:
        """Whether a step with -h undoes a step with h."""
        return self.shears is not None and is_symmetric(self.scheme, self._undone)

    @cached_property
    def symmetry_order(self) -> int | None:
        """The q up to which a step with -h undoes one with h; None if no limit was found.

        A symmetric step is undone to every order. Schemes with unknowns of their own have none. It
        is one to the digits given where the order of accuracy is.
        """
        if self.symmetric:
            return None
        values = generic(self.scheme, self.values, self.varying) if self.varying else self.values
        return symmetry_order(self.scheme, values, bool(self.accuracy.digits))

    @property
    def effectively_symmetric(self) -> bool:
        """Whether a step with -h undoes one with h further than the order of accuracy promises."""
        return (self.symmetry_order or 0) > (self.order or 0)

    @property
    def volume(self) -> sympy.Expr | None:
        """By what factor a step changes volume, per value of a state.

        None if the step is not invertible, or if the factor depends on the state by `exponents`.
        """
        return None if self.shears is None or self.exponents else self.scale

    @property
    def scale(self) -> sympy.Expr:
        """The part of `volume` that is the same at every state: Π |α| over the shears."""
        return absolute(sympy.Mul(*(shear.scale for shear in self.shears or ())))

    @property
    def shear_lines(self) -> tuple[Update, ...]:
        """The shears as lines in forward order; each is undone by a line of `inverse`."""
        return tuple(undo.forward for undo in reversed(self._undone))

    @property
    def exponents(self) -> tuple[Node, ...]:
        """The fields whose entries, added up, are the rest of a step's log-determinant.

        They are written in the values of `shear_lines`.
        """
        factors = (node for line in self.shear_lines for node in line.value.walk())
        return tuple(factor.operand for factor in factors if isinstance(factor, ElementwiseExp))

    @property
    def volume_preserving(self) -> bool:
        """Whether a step keeps volume, for every right-hand side."""
        return self.volume == 1

    def bits(self, values: Mapping[str, Number] | None = None) -> float | None:
        """The bits per value that a step destroys: log2(1/|α|) for each shear with |α| < 1.

        What an exponential of fields destroys depends on the state, and is not in it.

        Args:
            values: of the constants, and of h.

        Returns:
            None where a scale depends on something that has no value.
        """
        scales = [self._number(absolute(shear.scale), values) for shear in self.shears or ()]
        if any(scale is None for scale in scales):
            return None
        return sum(
            (-math.log2(x) if x else math.inf for x in scales if x is not None and x < 1), 0.0
        )

    def volume_at(self, values: Mapping[str, Number] | None = None) -> float | None:
        """`volume` as a number; None where it depends on something that has no value."""
        return None if self.volume is None else self._number(self.volume, values)

    def _number(self, value: sympy.Expr, values: Mapping[str, Number] | None) -> float | None:
        found = put_in(value, self._numbers(values))
        return None if found.free_symbols else float(found.evalf(30))

    @cached_property
    def stability(self) -> Stability | str:
        """The stability, or why there is no statement."""
        return derive_stability(self.scheme, self.values)

    def stability_at(self, values: Mapping[str, Number]) -> Stability | str:
        """The stability at given values of the constants (and of h), or why there is none."""
        return self._stability(*sorted(values.items()))

    @remembered  # several stages of the compiler ask the same
    def _stability(self, *values: tuple[str, Number]) -> Stability | str:
        return derive_stability(self.scheme, dict(values))

    def characteristic(self, rates: Rates, h: sympy.Expr | None = None) -> sympy.Expr:
        """The characteristic polynomial in ξ, which is `odenet.derive.XI`, of a linear step.

        Args:
            rates: function of the pattern -> the coefficient of each of its arguments.
            h: step size, symbolic if not given.

        Example:
            RevNet (Chang et al. 2018, AAAI, Eq. 21) is `verlet` with F = β z, G = α y, h = 1:
            `characteristic({"F": (beta,), "G": (alpha,)}, h=sympy.Integer(1))`.
        """
        return characteristic(self.scheme, rates, h)

    def roundtrip_error(
        self,
        steps: int,
        h: float,
        eps: float,
        frequency: float = 1.0,
        values: Mapping[str, Number] | None = None,
        each: Sequence[Mapping[str, Number]] = (),
        where: AxisName | None = None,
    ) -> RoundTrip | None:
        """The estimated error of an initial state rebuilt from the final one.

        Args:
            steps: forward, and back.
            h: step size.
            eps: spacing of the floating-point numbers at 1.
            frequency: bound on the eigenvalues of the right-hand side's Jacobian.
            values: of the scheme's constants.
            each: the values in one step after the other, where they differ, with their h.
            where: the axis of λ; by default the imaginary one where steps are stable on it.

        Returns:
            None where there is no inverse at these values, no test equation for the scheme, or
            more steps than are followed.
        """
        different = tuple(tuple(at.items()) for at in each)
        if steps > MOST_STEPS or len(set(different)) > MOST_DIFFERENT:
            return None
        given = {**(values or {}), "h": h}
        if not self.reversible or any(map(self.violated, (given, *each))):
            return None
        at = tuple(sorted(given.items()))
        return self._roundtrip(at, different, steps, h, eps, frequency, where)

    @remembered
    def _roundtrip(
        self,
        given: tuple[tuple[str, Number], ...],
        each: tuple[tuple[tuple[str, Number], ...], ...],
        *asked: Any,
    ) -> RoundTrip | None:
        found = self._stability(*given)
        if isinstance(found, str):
            return None
        known = [constants(self.scheme, dict(numbers)) for numbers in each]
        return predict_roundtrip(found, self.shears or (), self.relabel, known, *asked)

    def summary(self) -> list[str]:
        """The properties in a few sentences."""
        return describe.summary(self)

    def latex(self) -> str:
        """Step, inverse, proof and properties in LaTeX."""
        return describe.as_latex(self)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return describe.as_json(self)

    def __repr__(self) -> str:
        return f"<derivation of {self.scheme.name}: {' '.join(self.summary())}>"

    def __str__(self) -> str:
        return describe.as_text(self)

    def _repr_latex_(self) -> str:
        return self.latex()
