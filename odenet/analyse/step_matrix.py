"""The one-step matrix of a scheme on linear equations whose coefficients are all known numbers.

Its powers decide whether the steps are stable; for other equations there are only bounds.
RevNet's growth (Chang et al. 2018, AAAI, Eq. 21) is the case Y' = β Z, Z' = α Y under `verlet`: the
step has the characteristic polynomial ξ² - (2 + αβ h²) ξ + 1, and all eigenvalues have an absolute
value of at most 1 if and only if -4 ≤ αβ h² ≤ 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mpmath

from odenet.analyse.functions import reads_state
from odenet.analyse.laurent import as_fraction
from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems
from odenet.derive.exact_numbers import DIGITS, as_mpf, constant_values
from odenet.derive.power_bounded import TOLERANCE, is_power_bounded, spectral_radius
from odenet.diagnostics.effort import MAX_PRODUCTS, EffortExceeded, effort_limit
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, State
from odenet.model.expressions.fold import fold_arithmetic, linear_terms
from odenet.model.typed.program import Model

LinearForm = dict[tuple[Slot, int], Any]  # (stored value, component) -> coefficient
LinearForms = list[LinearForm]


@dataclass(frozen=True)
class StepMatrixStability:
    """Whether powers of the one-step matrix grow.

    Args:
        spectral_radius: the largest absolute value of an eigenvalue.
        in_unit_disk: whether all eigenvalues lie in the closed unit disk, decided to 20 digits.
        power_bounded: whether all powers of the matrix are bounded: eigenvalues are in the disk,
            and those on the unit circle are not defective.
    """

    spectral_radius: float
    in_unit_disk: bool
    power_bounded: bool

    def __str__(self) -> str:
        if self.power_bounded:
            return "with these numbers steps are stable: powers of the step's matrix are bounded"
        if self.in_unit_disk:
            return (
                "with these numbers no eigenvalue of a step exceeds 1, but one of absolute value 1 "
                "is defective: values grow with a power of the depth"
            )
        radius = f"{self.spectral_radius:.6g}"
        return f"with these numbers steps grow: an eigenvalue of absolute value {radius}"


def step_matrix_stability(model: Model) -> StepMatrixStability | None:
    """Whether the file's scheme is stable on the file's equations.

    Args:
        model: the typed program.

    Returns:
        None if the equations are not linear with known numbers or too long to be multiplied out,
        the constants are unknown or change from step to step, or the scheme has auxiliary unknowns
        while its groups of states differ in size.
    """
    scheme, discretisation = model.scheme, model.discretisation
    sizes = {len(states) for states in discretisation.groups.values()}
    ambiguous_sizes = bool(scheme.aux) and len(sizes) > 1
    needs_depth = scheme.uses_step_size and discretisation.h is None
    if discretisation.varying or ambiguous_sizes or needs_depth or scheme.exp_or_map is not None:
        return None
    try:
        with effort_limit(MAX_PRODUCTS):
            rates = _coefficients(model)
    except EffortExceeded:
        return None
    if rates is None:
        return None
    with mpmath.workdps(DIGITS):
        matrix = _StepMatrixBuilder(model, rates).matrix()
        radius = spectral_radius(matrix)
        in_unit_disk = bool(radius <= 1 + TOLERANCE)
        return StepMatrixStability(float(radius), in_unit_disk, is_power_bounded(matrix))


def _coefficients(model: Model) -> dict[tuple[State, str], dict[State, Any]] | None:
    """(state, function) of each right-hand side -> state that it reads -> coefficient.

    None if a right-hand side is not linear with known numbers.
    """
    reader = FormulaReader(model)
    coefficients: dict[tuple[State, str], dict[State, Any]] = {}
    for rate_key, rate in model.rates.items():
        try:
            form = reader.normal_form(rate)
        except OutsideTheorems:
            return None
        coefficients[rate_key] = {}
        for leaf, operator in form.items():
            scalar = operator.scalar
            if not isinstance(leaf, State) and not reads_state(leaf):
                continue  # a forcing does not change stability
            number = None if scalar is None else as_fraction(scalar.substitute(reader.values))
            if number is None or not isinstance(leaf, State):
                return None
            coefficients[rate_key][leaf] = as_mpf(number)
    return coefficients


class _StepMatrixBuilder:
    """Computes the one-step matrix: evaluates the lines of a scheme on linear forms.

    Every value is a list of components, each a linear form in the values stored between steps.
    """

    def __init__(self, model: Model, rates: Mapping[tuple[State, str], Mapping[State, Any]]):
        discretisation = model.discretisation
        self.scheme, self.groups, self.rates = model.scheme, discretisation.groups, rates
        h = {} if discretisation.h is None else {"h": discretisation.h}
        self.numbers = constant_values(model.scheme, {**discretisation.constants, **h})
        self.patterns = {p.function: p for p in model.scheme.patterns}

    def matrix(self) -> list[list[Any]]:
        """The matrix of one step, on the components of all stored values."""
        one = mpmath.mpf(1)
        components = [(s, i) for s in self.scheme.slots for i in range(self._size(s.name))]
        values: dict[Node, LinearForms] = {
            s: [{(s, i): one} for i in range(self._size(s.name))] for s in self.scheme.slots
        }
        for update in self.scheme.updates:
            values[update.target] = self._evaluate(update.value, values)
        # A value that is an empty list is zero: its component i is the form {}.
        rows = [(values[Slot(s.name, s.offset + 1)] or [{}] * (i + 1))[i] for s, i in components]
        return [[row.get(component, mpmath.mpf(0)) for component in components] for row in rows]

    def _size(self, name: str) -> int:
        """The number of components of a group of states, or of an auxiliary unknown."""
        return len(self.groups.get(name) or next(iter(self.groups.values())))

    def _evaluate(self, node: Node, values: Mapping[Node, LinearForms]) -> LinearForms:
        """The components of a formula; zero is an empty list."""
        match node:
            case expr.Slot() | expr.Stage():
                return values[node]
            case expr.Sum() | expr.Product() | expr.Quotient():
                parts = linear_terms(node, self._evaluate_number)
                terms = [(factor, self._evaluate(part, values)) for factor, part in parts]
                count = max((len(forms) for _, forms in terms), default=0)
                return [
                    _linear_combination((x, forms[i]) for x, forms in terms if i < len(forms))
                    for i in range(count)
                ]
            case expr.Rate():
                return self._evaluate_rate(node, values)
            case _:
                return []

    def _evaluate_rate(self, node: expr.Rate, values: Mapping[Node, LinearForms]) -> LinearForms:
        pattern = self.patterns[node.function]
        operands: dict[State, LinearForm] = {}
        for name, argument in zip(pattern.reads, node.arguments, strict=True):
            forms = self._evaluate(argument, values) or [{} for _ in self.groups[name]]
            operands |= zip(self.groups[name], forms, strict=True)
        rates = (self.rates[state, node.function] for state in self.groups[pattern.unknown])
        return [_linear_combination((n, operands[s]) for s, n in rate.items()) for rate in rates]

    def _evaluate_number(self, node: Node) -> Any:
        match node:
            case expr.Number():
                return as_mpf(node.value)
            case expr.Constant():
                return as_mpf(self.numbers[node.name])
            case expr.Exp():
                return mpmath.exp(self._evaluate_number(node.exponent))
            case _:
                return fold_arithmetic(node, self._evaluate_number)


def _linear_combination(terms: Iterable[tuple[Any, LinearForm]]) -> LinearForm:
    """The sum of factor · form."""
    total: LinearForm = {}
    for factor, form in terms:
        for key, value in form.items():
            total[key] = total.get(key, mpmath.mpf(0)) + factor * value
    return total
