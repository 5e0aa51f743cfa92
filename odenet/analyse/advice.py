"""Warnings about a scheme that is unstable on the proved spectrum, and schemes to use instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from odenet.analyse.certificate import Certificate
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import (
    drift_warning,
    flow_depth,
    matching_test_equation,
    scheme_stability,
    tested_certificate,
)
from odenet.analyse.sector import Sector, damped_sector, is_euler
from odenet.analyse.step_matrix import step_matrix_stability
from odenet.derive import AxisStability, Stability, derive
from odenet.derive.stability import EquationStability
from odenet.diagnostics import Diagnostic
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.fitting.fit import fit
from odenet.model.typed.program import Model, flows_of
from odenet.model.typed.right_hand_sides import decay_factors
from odenet.model.typed.scheme import Scheme

MAX_ALTERNATIVES = 5  # that a warning lists
EXAMPLE_STEP = Fraction(1, 10)  # the step size in a suggested `discretise` line
LEAST_USABLE_LIMIT = 0.25  # of hω: below it a scheme needs too many steps to be recommended
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
    has_flow = any(flows_of(model.net))
    warnings = (
        _instability_warning(facts),
        drift_warning(model, facts.derivation, flow_depth(model)) if has_flow else None,
    )
    return [warning for warning in warnings if warning is not None]


def _instability_warning(facts: Facts) -> Diagnostic | None:
    """A warning if the scheme is unstable for every step size; None if not, or if unknown."""
    model, derivation, certificate = facts.model, facts.derivation, facts.certificate
    stability = scheme_stability(model, derivation)
    if not certificate.proved or certificate.has_zero_spectrum:
        return None
    discretisation, span = model.discretisation, model.discretisation.span
    if (step_matrix := step_matrix_stability(model)) is not None:
        message = f"{model.scheme.name} is unstable here, on a stable spectrum: {step_matrix}"
        help_ = "take shorter steps, or another scheme"
        return (
            None if step_matrix.stable
            else Diagnostic("unstable-scheme", message, span, help_, severity="warning")
        )  # fmt: skip
    if isinstance(stability, str):
        return None
    tested_scheme = matching_test_equation(
        stability, model.scheme, model.dynamics, discretisation.groups
    )
    spectrum = tested_certificate(model, certificate, model.scheme, discretisation.groups)
    unstable_axes = (
        [axis for axis in _required_axes(tested_scheme, spectrum) if axis.is_unstable]
        if tested_scheme
        else []
    )
    if tested_scheme is None or not unstable_axes:
        return None
    axis, scheme = unstable_axes[0], model.scheme.name
    message = f"{scheme} is unstable for every {axis.variable[0]} "
    if spectrum.verdict in SPECTRUM_PHRASES:
        message += f"{SPECTRUM_PHRASES[spectrum.verdict]}, as tested on {axis.test_equation}"
    else:
        message += f"at {EIGENVALUE_PHRASES[axis.axis]}, as tested on {axis.test_equation}"
        sector = damped_sector(model, certificate) if axis.axis == "imaginary" else None
        h = None if discretisation.varying else discretisation.h
        stable_steps = (
            _stable_steps_text(sector, tested_scheme, h)
            if sector and tested_scheme.real_axis
            else ""
        )
        message += stable_steps or ", and this spectrum may have such"
    alternative_text = ", ".join(alternatives(model, certificate))
    help_ = (
        f"use {alternative_text}" if alternative_text else "no scheme of the library is stable here"
    )
    return Diagnostic("unstable-scheme", message, span, help_, severity="warning")


def _stable_steps_text(
    sector: Sector, tested_scheme: EquationStability, h: Fraction | float | None
) -> str:
    """The step sizes at which decay makes the scheme stable; empty if none, or without h."""
    introduction = f"; the decay γ = {sector.decay:g} keeps these away"
    frequency = sector.stable_frequency(tested_scheme, float(h)) if h else 0.0
    step_text = f"h = {float(h):g}" if h and frequency else ""
    if is_euler(tested_scheme):
        formula = f"with ω = {sector.frequency}, steps h ≤ 2 γ/(γ² + ω²) are stable"
        return f"{introduction}: {formula}" + (
            f", {step_text} while ω ≤ {frequency:.3g}" if step_text else ""
        )
    if not step_text:
        return ""
    limit = f"steps {step_text} are stable while ω is up to about {frequency:.3g}"
    return f"{introduction}: with ω = {sector.frequency}, {limit}"


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
    tested_scheme = matching_test_equation(stability, model.scheme, model.dynamics, groups)
    spectrum = tested_certificate(model, certificate, model.scheme, groups)
    if tested_scheme is None or not spectrum.proved or spectrum.has_zero_spectrum:
        return stability.axes
    return _required_axes(tested_scheme, spectrum)


def alternatives(model: Model, certificate: Certificate) -> list[str]:
    """Names and limits of the first few fitting schemes.

    The file's own scheme is included only if its constants differ from the defaults, with these.
    """
    used = model.scheme
    free_constants = [
        (n, default) for n, default in used.constants if n not in used.decays and default
    ]
    current = model.discretisation.constants
    is_changed = any(current.get(n) != evaluate(default, {}) for n, default in free_constants)
    return [
        f"{_scheme_call(used) if entry.name == used.name else entry.name} ({entry.limits})"
        for entry in fitting_schemes(model, certificate)
        if entry.name != used.name or is_changed
    ][:MAX_ALTERNATIVES]


@dataclass(frozen=True)
class FittingScheme:
    """A scheme of the library that applies to the equations and is stable on their spectrum.

    Args:
        name: of the scheme.
        reversible: whether its steps have an inverse.
        limits: the stability limits, such as `hω < 2`.
        line: a `discretise` line with it.
    """

    name: str
    reversible: bool
    limits: str
    line: str


def fitting_schemes(model: Model, certificate: Certificate) -> list[FittingScheme]:
    """The library's schemes that apply to these equations and are stable for small steps.

    They are sorted by usable limit, reversibility and length of the longest stable step. If
    nothing is proved about the spectrum, a scheme has to be stable on one of the two axes.

    Args:
        model: the typed program; its `discretise` line is not read.
        certificate: of its dynamics.
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
        reversible, stability = _scheme_facts(name, values)
        if isinstance(stability, str):
            continue
        tested_scheme = matching_test_equation(stability, scheme, model.dynamics, groups)
        spectrum = tested_certificate(model, certificate, scheme, groups)
        axes = _stable_axes(tested_scheme, spectrum) if tested_scheme else []
        if axes:
            shortest = min(axis.limit for axis in axes)
            limits = " and ".join(_limit_text(axis) for axis in axes)
            entry = FittingScheme(name, reversible, limits, f"discretise {_scheme_call(scheme)}")
            rank = (
                shortest < LEAST_USABLE_LIMIT, not reversible, -shortest, len(scheme.updates), name,
            )  # fmt: skip
            ranked.append((rank, entry))
    return [entry for _, entry in sorted(ranked, key=lambda row: row[0])]


def _stable_axes(tested_scheme: EquationStability, certificate: Certificate) -> list[AxisStability]:
    """The axes that matter for a spectrum; empty if the scheme is unstable on one of them."""
    if not certificate.proved or certificate.has_zero_spectrum:
        axes = (tested_scheme.imaginary_axis, tested_scheme.real_axis)
        return [axis for axis in axes if axis is not None and axis.limit]
    required = _required_axes(tested_scheme, certificate)
    return required if all(axis.limit for axis in required) else []


def _scheme_call(scheme: Scheme) -> str:
    """`midpoint(h = 0.1)`, as it is written after `discretise`."""
    constants = [f"h = {float(EXAMPLE_STEP):g}"] if scheme.uses_step_size else []
    for name, default in scheme.constants:
        if default is not None and default.span is not None:
            constants.append(f"{scheme.spellings.get(name, name)} = {default.span.text}")
    return f"{scheme.name}({', '.join(constants)})"


ConstantValues = tuple[tuple[str, Fraction | float], ...]


def _decay_constants(
    model: Model, scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> ConstantValues | None:
    """The decay constants that a scheme takes from the equations; None if one is learned."""
    system = model.dynamics.system(scheme.patterns[0].order)
    try:
        return tuple(
            (name, evaluate(formula, model.constants))
            for name, formula in decay_factors(system, scheme, groups).items()
        )
    except EvaluationError:
        return None


@cache
def _scheme_facts(name: str, decays: ConstantValues) -> tuple[bool, Stability | str]:
    """Whether a library scheme is reversible, and its stability; if it has decays, at h = 0.1."""
    derivation = derive(library_scheme(name))
    values = {**dict(decays), "h": EXAMPLE_STEP} if decays else {}
    return derivation.reversible, derivation.stability_at(values)


def _limit_text(axis: AxisStability) -> str:
    if axis.limit == float("inf"):
        return f"every {axis.variable}"
    return f"{axis.variable} {'≤' if axis.includes_limit else '<'} {axis.limit:.4g}"


def _required_axes(
    tested_scheme: EquationStability, certificate: Certificate
) -> list[AxisStability]:
    """The axes on which a scheme must be stable for the verdict of a certificate."""
    imaginary, real = tested_scheme.imaginary_axis, tested_scheme.real_axis
    axes = {"imaginary": [imaginary], "real": [real], "stable": [imaginary, real]}
    return [axis for axis in axes[certificate.verdict] if axis is not None]
