"""Warnings about a scheme that is unstable on the proved spectrum, and schemes to use instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from odenet.analyse.certificate import Certificate
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import (
    Groups,
    drift_warning,
    flow_depth,
    matching_test_equation,
    scheme_stability,
    tested_certificate,
)
from odenet.analyse.spectrum_triangle import Triangle, is_euler, spectrum_triangle
from odenet.analyse.step_matrix import step_matrix_stability
from odenet.derive import AxisStability, Stability, derive
from odenet.derive.stability import EquationStability
from odenet.diagnostics import Diagnostic
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.fitting.fit import fit
from odenet.model.typed.program import Model, flows_of
from odenet.model.typed.right_hand_sides import decay_factors
from odenet.model.typed.scheme import Scheme

MAX_ALTERNATIVES = 5  # that a warning lists
EXAMPLE_STEP = Fraction(1, 10)  # the step size in a suggested `discretise` line
USABLE_LIMIT = 0.25  # of hω: below it a scheme needs too many steps to be recommended
MAX_SCHEME_LINES = 7  # of a suggested scheme: longer ones are slow to derive
SPECTRUM_PHRASES = {"imaginary": "on an imaginary spectrum", "real": "on a real, negative spectrum"}
EIGENVALUE_PHRASES = {"imaginary": "imaginary eigenvalues", "real": "negative real eigenvalues"}


def advise(facts: Facts) -> list[Diagnostic]:
    """Warnings about the scheme of a file with a `discretise` line.

    Returns:
        Up to two warnings: that no step size is stable on the proved spectrum, and that rebuilding
        states over the depth of the network is too inaccurate for training.
    """
    model = facts.model
    warnings = [_instability_warning(facts)]
    if any(flows_of(model.net)):
        warnings.append(drift_warning(model, facts.derivation, flow_depth(model)))
    return [warning for warning in warnings if warning is not None]


def _instability_warning(facts: Facts) -> Diagnostic | None:
    """A warning if the scheme is unstable here; None if it is stable, or if that is unknown.

    If all coefficients of the equations are known numbers, it is about the file's step size; else
    it says that no step size is stable.
    """
    model, derivation, certificate = facts.model, facts.derivation, facts.certificate
    stability = scheme_stability(model, derivation)
    if not certificate.proved or certificate.has_zero_spectrum:
        return None
    scheme, discretisation, span = model.scheme, model.discretisation, model.discretisation.span
    if (known_numbers := step_matrix_stability(model)) is not None:
        if known_numbers.in_unit_disk:
            return None
        message = f"{scheme.name} is unstable here, on a stable spectrum: {known_numbers}"
        help_ = "take shorter steps, or another scheme"
        return Diagnostic("unstable-scheme", message, span, help_, severity="warning")
    if isinstance(stability, str):
        return None
    equation = matching_test_equation(stability, scheme, model.dynamics, discretisation.groups)
    if equation is None:
        return None
    spectrum = tested_certificate(model, certificate, scheme, discretisation.groups)
    axis = next((axis for axis in _required_axes(equation, spectrum) if axis.is_unstable), None)
    if axis is None:
        return None
    message = f"{scheme.name} is unstable for every {axis.variable[0]} "  # the h of hω
    if spectrum.verdict in SPECTRUM_PHRASES:
        message += f"{SPECTRUM_PHRASES[spectrum.verdict]}, as tested on {axis.test_equation}"
    else:
        message += f"at {EIGENVALUE_PHRASES[axis.axis]}, as tested on {axis.test_equation}"
        # Only y' = λ y, which has a real axis, tells the stability at complex λ.
        triangle = spectrum_triangle(model, certificate) if axis.axis == "imaginary" else None
        h = None if discretisation.varying else discretisation.h
        steps = _step_text(triangle, equation, h) if triangle and equation.real_axis else ""
        message += steps or ", and this spectrum may have such"
    names = ", ".join(alternatives(model, certificate))
    help_ = f"use {names}" if names else "no scheme of the library is stable here"
    return Diagnostic("unstable-scheme", message, span, help_, severity="warning")


def _step_text(triangle: Triangle, equation: EquationStability, h: Fraction | float | None) -> str:
    """The step sizes at which decay makes the scheme stable, to be appended to a sentence.

    For explicit Euler this is a formula, which holds for every h; for other schemes it needs the
    file's h, and is empty if that is not known or not stable for any frequency.
    """
    intro = f"; the decay γ = {triangle.decay:g} keeps these away"
    max_frequency = triangle.stable_frequency(equation, float(h)) if h else 0.0
    step = f"h = {float(h):g}" if h and max_frequency else ""
    if is_euler(equation):
        formula = f"with ω = {triangle.frequency_text}, steps h ≤ 2 γ/(γ² + ω²) are stable"
        return f"{intro}: {formula}" + (f", {step} while ω ≤ {max_frequency:.3g}" if step else "")
    if not step:
        return ""
    limit = f"steps {step} are stable while ω is up to about {max_frequency:.3g}"
    return f"{intro}: with ω = {triangle.frequency_text}, {limit}"


def limiting_axes(facts: Facts) -> Sequence[AxisStability] | str:
    """The axes on which a step must be stable for the proved spectrum; without one, all axes.

    Returns:
        The axes, or a text: why the stability of the scheme is unknown.
    """
    model, certificate = facts.model, facts.certificate
    stability = scheme_stability(model, facts.derivation)
    if isinstance(stability, str):
        return stability
    groups = model.discretisation.groups
    equation = matching_test_equation(stability, model.scheme, model.dynamics, groups)
    spectrum = tested_certificate(model, certificate, model.scheme, groups)
    if equation is None or not spectrum.proved or spectrum.has_zero_spectrum:
        return stability.axes
    return _required_axes(equation, spectrum)


def alternatives(model: Model, certificate: Certificate) -> list[str]:
    """Names and limits of the first few fitting schemes.

    The file's own scheme is included only if its constants differ from the defaults, and then with
    the defaults.
    """
    scheme = model.scheme
    defaults = [(n, node) for n, node in scheme.constants if n not in scheme.decays and node]
    values = model.discretisation.constants
    is_changed = any(values.get(n) != evaluate(node, {}) for n, node in defaults)
    return [
        f"{_scheme_call(scheme) if entry.name == scheme.name else entry.name} ({entry.limits})"
        for entry in fitting_schemes(model, certificate)
        if entry.name != scheme.name or is_changed
    ][:MAX_ALTERNATIVES]


@dataclass(frozen=True)
class FittingScheme:
    """A scheme of the library that applies to the equations and is stable on their spectrum.

    Args:
        name: the name of the scheme.
        reversible: whether its steps have an inverse.
        limits: the stability limits, such as `hω < 2`.
        line: a `discretise` line that uses it, such as `discretise verlet(h = 0.1)`.
    """

    name: str
    reversible: bool
    limits: str
    line: str


def fitting_schemes(model: Model, certificate: Certificate) -> list[FittingScheme]:
    """The library's schemes that apply to these equations and are stable for small steps.

    They are sorted: schemes with a limit of at least USABLE_LIMIT come before others; among these,
    reversible ones; then those with the larger limit; then those with fewer lines. If nothing is
    proved about the spectrum, a scheme has to be stable on one of the two axes.

    Args:
        model: the typed program; its `discretise` line is not read.
        certificate: what is known about the spectrum of its dynamics.
    """
    span = next(iter(model.dynamics.rates.values())).span or certificate.span
    assert span is not None
    ranked: list[tuple[tuple[bool, bool, float, int, str], FittingScheme]] = []
    for name in library_names():
        scheme = library_scheme(name)
        groups = fit(scheme, model.dynamics, span)
        if len(scheme.updates) > MAX_SCHEME_LINES or isinstance(groups, Diagnostic):
            continue
        values = _decay_constants(model, scheme, groups)
        if values is None:
            continue
        reversible, stability = _reversible_and_stability(name, values)
        if isinstance(stability, str):
            continue
        equation = matching_test_equation(stability, scheme, model.dynamics, groups)
        spectrum = tested_certificate(model, certificate, scheme, groups)
        axes = _stable_axes(equation, spectrum) if equation else []
        if axes:
            shortest = min(axis.limit for axis in axes)
            limits = " and ".join(_limit_text(axis) for axis in axes)
            entry = FittingScheme(name, reversible, limits, f"discretise {_scheme_call(scheme)}")
            rank = (shortest < USABLE_LIMIT, not reversible, -shortest, len(scheme.updates), name)
            ranked.append((rank, entry))
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def _stable_axes(equation: EquationStability, certificate: Certificate) -> list[AxisStability]:
    """The axes that matter for a spectrum; empty if the scheme is unstable on one of them."""
    if not certificate.proved or certificate.has_zero_spectrum:
        axes = (equation.imaginary_axis, equation.real_axis)
        return [axis for axis in axes if axis is not None and axis.limit]
    required = _required_axes(equation, certificate)
    return required if all(axis.limit for axis in required) else []


def _scheme_call(scheme: Scheme) -> str:
    """`midpoint(h = 0.1)`, as it is written after `discretise`."""
    constants = [f"h = {float(EXAMPLE_STEP):g}"] if scheme.uses_step_size else []
    for name, default in scheme.constants:
        if default is not None and default.span is not None:
            constants.append(f"{scheme.spellings.get(name, name)} = {default.span.text}")
    return f"{scheme.name}({', '.join(constants)})"


ConstantValues = tuple[tuple[str, Fraction | float], ...]


def _decay_constants(model: Model, scheme: Scheme, groups: Groups) -> ConstantValues | None:
    """The decay constants that a scheme takes from the equations; None if one is learned."""
    system = model.dynamics.system(scheme.patterns[0].order)
    try:
        factors = decay_factors(system, scheme, groups).items()
        return tuple((name, evaluate(formula, model.constants)) for name, formula in factors)
    except EvaluationError:
        return None


@cache
def _reversible_and_stability(name: str, decays: ConstantValues) -> tuple[bool, Stability | str]:
    """Whether a library scheme is reversible, and its stability: with decays, at EXAMPLE_STEP."""
    derivation = derive(library_scheme(name))
    values = {**dict(decays), "h": EXAMPLE_STEP} if decays else {}
    return derivation.reversible, derivation.stability_at(values)


def _limit_text(axis: AxisStability) -> str:
    if axis.limit == float("inf"):
        return f"every {axis.variable}"
    return f"{axis.variable} {'≤' if axis.includes_limit else '<'} {axis.limit:.4g}"


def _required_axes(equation: EquationStability, certificate: Certificate) -> list[AxisStability]:
    """The axes on which a scheme must be stable for the verdict of a certificate."""
    imaginary, real = equation.imaginary_axis, equation.real_axis
    axes = {"imaginary": [imaginary], "real": [real], "stable": [imaginary, real]}
    return [axis for axis in axes[certificate.verdict] if axis is not None]
