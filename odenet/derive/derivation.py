"""The result of the derivation: all properties of a scheme, computed when they are first read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, log2
from typing import Any

import sympy

from odenet.derive import describe
from odenet.derive.axis_stability import Axis
from odenet.derive.cached_method import cached_method
from odenet.derive.exact_numbers import absolute, as_sympy, constant_values, let_values, substitute
from odenet.derive.inverse import ShearPair, proof_lines
from odenet.derive.linear_step import RateCoefficients, characteristic_polynomial
from odenet.derive.obstacle import Obstacle
from odenet.derive.order import Order, derive_order
from odenet.derive.roundtrip import MOST_DIFFERENT_STEPS, MOST_STEPS, RoundTrip, predict_roundtrip
from odenet.derive.scheme_notation import scheme_notation
from odenet.derive.shears import Shear
from odenet.derive.stability import Stability, derive_stability
from odenet.derive.symmetry import is_symmetric, symmetry_order
from odenet.derive.varying_order import generic_values, varying_order
from odenet.model.expressions.expr import ElementwiseExp, Node, Slot
from odenet.model.typed.scheme import Scheme, Update
from odenet.model.typed.step_constants import Number

Values = Mapping[str, Number]  # of the constants and of h, by name


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """The properties of a scheme.

    A scheme stores some values from step to step. A *slot* names such a value, as `Y[n]` or
    `Y[n-1]`; a *register* is the memory that holds it, named by the slot before the step.

    Attributes:
        scheme: the scheme, as parsed.
        shears: one step as shears (`shears.py`) in forward order; None if the inverse is implicit.
        relabel: register -> the slot whose value it holds after the step, where that is another.
        conditions: expressions in the constants that must not be zero for the inverse to exist.
        obstacle: why there is no explicit inverse, if there is none.
        values: the values of the constants and of h, in place of their defaults. Properties that
            are numbers are computed with these.
        varying: the constants, possibly with h, that differ from step to step. The order is then
            the one for any values of theirs.
    """

    scheme: Scheme
    shears: tuple[Shear, ...] | None = None
    relabel: Mapping[Slot, Slot] = field(default_factory=dict[Slot, Slot])
    conditions: tuple[sympy.Expr, ...] = ()
    obstacle: Obstacle | None = None
    _shear_pairs: tuple[ShearPair, ...] = field(default=(), repr=False)
    values: Values = field(default_factory=dict[str, Number])
    varying: tuple[str, ...] = ()

    @property
    def forward(self) -> tuple[Update, ...]:
        """The step: the author's lines."""
        return self.scheme.updates

    @property
    def inverse(self) -> tuple[Update, ...] | None:
        """The lines of the inverse step, top to bottom; None if it is not explicit."""
        return None if self.shears is None else tuple(pair.backward for pair in self._shear_pairs)

    @property
    def reversible(self) -> bool:
        """Whether the inverse is explicit."""
        return self.shears is not None

    @property
    def definitions(self) -> Mapping[str, sympy.Expr]:
        """The numbers that the scheme defines by `let`: name -> expression."""
        return let_values(self.scheme)

    @cached_property
    def proof(self) -> tuple[str, ...]:
        """Lines `… = 0`, one for each shear: put into its inverse it gives back the old value."""
        return proof_lines(self._shear_pairs, scheme_notation(self.scheme))

    @property
    def latex_proof(self) -> tuple[str, ...]:
        """The lines of `proof` in LaTeX."""
        return proof_lines(self._shear_pairs, scheme_notation(self.scheme, latex=True))

    def violated_conditions(self, values: Values | None = None) -> tuple[sympy.Expr, ...]:
        """The conditions for the inverse that fail at given values of the constants and of h.

        A condition on a constant without a value is left out.
        """
        numbers = self._symbol_values(values)
        return tuple(c for c in self.conditions if substitute(c, numbers).evalf(30) == 0)

    def underflowing_scales(self, values: Values) -> tuple[sympy.Expr, ...]:
        """The scales of shears that are zero in double precision only, such as exp(-1000)."""
        violated = self.violated_conditions(values)
        scales = () if violated else (shear.scale for shear in self.shears or ())
        return tuple(scale for scale in scales if self._evaluate(scale, values) == 0)

    def _symbol_values(self, values: Values | None) -> dict[sympy.Symbol, sympy.Expr]:
        known = constant_values(self.scheme, {**self.values, **(values or {})})
        return {sympy.Symbol(name): as_sympy(value) for name, value in known.items()}

    @cached_property
    def accuracy(self) -> Order:
        """The order of accuracy, and what limits it."""
        return self.order_at({})

    @property
    def order(self) -> int | None:
        """The order of accuracy; None where `accuracy` says why there is none."""
        return self.accuracy.value

    def order_at(self, values: Values) -> Order:
        """The order of accuracy at given values of the constants."""
        known = {**self.values, **values}
        if self.varying:
            return varying_order(self.scheme, known, self.varying)
        return derive_order(self.scheme, known)

    @cached_property
    def symmetric(self) -> bool:
        """Whether a step with -h undoes a step with h."""
        return self.shears is not None and is_symmetric(self.scheme, self._shear_pairs)

    @cached_property
    def symmetry_order(self) -> int | None:
        """The q up to which a step with -h undoes one with h: their product is 1 + O(h^(q+1)).

        None for a symmetric scheme, for which there is no such limit, and for schemes with unknowns
        of their own. If the order of accuracy holds only to the digits that are given for the
        coefficients, so does q.
        """
        if self.symmetric:
            return None
        values = generic_values(self.scheme, self.values, self.varying)
        return symmetry_order(self.scheme, values, bool(self.accuracy.digits_note))

    @property
    def effectively_symmetric(self) -> bool:
        """Whether a step with -h undoes one with h further than the order of accuracy promises."""
        return (self.symmetry_order or 0) > (self.order or 0)

    @property
    def volume(self) -> sympy.Expr | None:
        """The factor by which a step changes volume, per value of a state.

        None if the step is not invertible, or if the factor depends on the state; it is then
        `constant_volume_factor` times exp(mean over all entries of Σ `volume_exponents`).
        """
        return None if self.shears is None or self.volume_exponents else self.constant_volume_factor

    @property
    def constant_volume_factor(self) -> sympy.Expr:
        """The part of the volume factor that is the same at every state: Π |α| over the shears."""
        return absolute(sympy.Mul(*(shear.scale for shear in self.shears or ())))

    @property
    def shear_lines(self) -> tuple[Update, ...]:
        """The shears as lines in forward order; each is undone by a line of `inverse`."""
        return tuple(pair.forward for pair in reversed(self._shear_pairs))

    @property
    def volume_exponents(self) -> tuple[Node, ...]:
        """The exponents of the factors `exp(…)` in the shears, in terms of `shear_lines`.

        The sum of all their entries is the part of the log-determinant that depends on the state.
        """
        factors = (node for line in self.shear_lines for node in line.value.walk())
        return tuple(factor.operand for factor in factors if isinstance(factor, ElementwiseExp))

    @property
    def volume_preserving(self) -> bool:
        """Whether a step keeps volume, for every right-hand side."""
        return self.volume == 1

    def bits_lost(self, values: Values | None = None) -> float | None:
        """The bits per value that a step destroys: the sum of log2(1/|α|) over shears with |α| < 1.

        Bits lost in factors `exp(…)` depend on the state and are not counted.

        Args:
            values: values of the constants and of h, in place of those of the derivation.

        Returns:
            None if a scale depends on something that has no value.
        """
        scales = [self._evaluate(absolute(shear.scale), values) for shear in self.shears or ()]
        if any(scale is None for scale in scales):
            return None
        return sum((-log2(x) if x else inf for x in scales if x is not None and x < 1), 0.0)

    def volume_at(self, values: Values | None = None) -> float | None:
        """`volume` as a number; None if it depends on something that has no value."""
        return None if self.volume is None else self._evaluate(self.volume, values)

    def _evaluate(self, value: sympy.Expr, values: Values | None) -> float | None:
        found = substitute(value, self._symbol_values(values))
        return None if found.free_symbols else float(found.evalf(30))

    @cached_property
    def stability(self) -> Stability | str:
        """The stability, or why there is no statement."""
        return derive_stability(self.scheme, self.values)

    def stability_at(self, values: Values) -> Stability | str:
        """The stability at given values of constants (and of h), or why there is no statement."""
        return self._stability(*sorted({**self.values, **values}.items()))

    @cached_method  # several stages of the compiler ask the same
    def _stability(self, *values: tuple[str, Number]) -> Stability | str:
        return derive_stability(self.scheme, dict(values))

    def characteristic_polynomial(
        self, rates: RateCoefficients, h: sympy.Expr | None = None
    ) -> sympy.Expr:
        """The characteristic polynomial of a step on linear equations.

        Args:
            rates: right-hand side -> the coefficient of each of its arguments.
            h: step size; a symbol if not given.

        Returns:
            A polynomial in ξ, the symbol `odenet.derive.XI`.

        Example:
            RevNet (Chang et al. 2018, AAAI, Eq. 21) is `verlet` with F = β z, G = α y, h = 1:
            `characteristic_polynomial({"F": (beta,), "G": (alpha,)}, h=sympy.Integer(1))`.
        """
        return characteristic_polynomial(self.scheme, rates, h)

    def roundtrip_error(
        self,
        steps: int,
        h: float,
        eps: float,
        frequency: float = 1.0,
        values: Values | None = None,
        values_per_step: Sequence[Values] = (),
        axis: Axis | None = None,
    ) -> RoundTrip | None:
        """The estimated error of an initial state rebuilt from the final one.

        Args:
            steps: the number of steps forward, and of steps back.
            h: step size.
            eps: spacing of the floating-point numbers at 1.
            frequency: bound on the eigenvalues of the right-hand side's Jacobian.
            values: the values of the scheme's constants.
            values_per_step: the values, h among them, in each step, if they differ.
            axis: the axis on which the eigenvalues lie; by default the imaginary one if the scheme
                is stable on it, else the negative real one.

        Returns:
            None if there is no inverse at these values, no test equation for the scheme, or too
            many steps to simulate.
        """
        items_per_step = tuple(tuple(step_values.items()) for step_values in values_per_step)
        if steps > MOST_STEPS or len(set(items_per_step)) > MOST_DIFFERENT_STEPS:
            return None
        known = {**(values or {}), "h": h}
        if not self.reversible or any(map(self.violated_conditions, (known, *values_per_step))):
            return None
        known_items = tuple(sorted(known.items()))
        return self._roundtrip(known_items, items_per_step, steps, h, eps, frequency, axis)

    @cached_method
    def _roundtrip(
        self,
        known_items: tuple[tuple[str, Number], ...],
        items_per_step: tuple[tuple[tuple[str, Number], ...], ...],
        *other_arguments: Any,
    ) -> RoundTrip | None:
        """As `roundtrip_error`, with arguments that can be hashed."""
        stability = self._stability(*known_items)
        if isinstance(stability, str):
            return None
        constants = [constant_values(self.scheme, dict(items)) for items in items_per_step]
        shears = self.shears or ()
        return predict_roundtrip(stability, shears, self.relabel, constants, *other_arguments)

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
