"""Spectrum and scheme together: warnings before anything is trained, with what to use instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from odenet.analyse.certificate import Certificate
from odenet.analyse.facts import Facts
from odenet.analyse.numbers_only import numbers_only
from odenet.analyse.scheme_on_dynamics import (
    decisive,
    depth,
    drift_warning,
    stability_of,
    tested_spectrum,
)
from odenet.analyse.sector import Sector, damped_sector, is_euler
from odenet.derive import Axis, Stability, derive
from odenet.derive.stability import TestedScheme
from odenet.diagnostics import Diagnostic
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import NotANumber, evaluate
from odenet.model.fitting.fit import fit
from odenet.model.typed.program import Model, flows_of
from odenet.model.typed.right_hand_sides import decay_factors
from odenet.model.typed.scheme import Scheme

MOST = 5  # alternatives that a warning lists
STEP = Fraction(1, 10)  # the step size of a line to paste
USABLE = 0.25  # a limit of hω below which a scheme needs too many steps to be recommended
LONGEST = 7  # lines of a scheme that is offered: longer ones are slow to derive
WHERE = {
    "imaginary": "on an imaginary spectrum",
    "real": "on a real, negative spectrum",
}
EXCLUDED = {"imaginary": "imaginary eigenvalues", "real": "negative real eigenvalues"}


def advise(facts: Facts) -> list[Diagnostic]:
    """Warnings about a scheme on these dynamics; `facts` are those of a file with steps.

    Returns:
        That no step size is stable on the proved spectrum, and that that many steps are not undone
        well enough to train by.
    """
    model = facts.model
    trained = any(flows_of(model.net))
    found = (
        _unstable(facts),
        drift_warning(model, facts.derivation, depth(model)) if trained else None,
    )
    return [warning for warning in found if warning is not None]


def _unstable(facts: Facts) -> Diagnostic | None:
    """A certificate that proves nothing gives no warning, nor does an equation not tested."""
    model, derivation, certificate = facts.model, facts.derivation, facts.certificate
    stability = stability_of(model, derivation)
    if not certificate.proved or certificate.vanishing:
        return None
    chosen = model.discretisation
    if (exactly := numbers_only(model)) is not None:
        message = f"{model.scheme.name} is unstable here, on a stable spectrum: {exactly}"
        help_ = "take shorter steps, or another scheme"
        return (
            None if exactly.stable
            else Diagnostic("unstable-scheme", message, chosen.span, help_, severity="warning")
        )  # fmt: skip
    if isinstance(stability, str):
        return None
    tested = decisive(stability, model.scheme, model.dynamics, chosen.groups)
    spectrum = tested_spectrum(model, certificate, model.scheme, chosen.groups)
    blocked = [axis for axis in _needed(tested, spectrum) if axis.unstable] if tested else []
    if tested is None or not blocked:
        return None
    axis, scheme = blocked[0], model.scheme.name
    message = f"{scheme} is unstable for every {axis.variable[0]} "
    if spectrum.verdict in WHERE:
        message += f"{WHERE[spectrum.verdict]}, as tested on {axis.test}"
    else:
        message += f"at {EXCLUDED[axis.where]}, as tested on {axis.test}"
        sector = damped_sector(model, certificate) if axis.where == "imaginary" else None
        h = None if chosen.varying else chosen.h
        damped = _damped(sector, tested, h) if sector and tested.real else ""
        message += damped or ", and this spectrum may have such"
    found = ", ".join(alternatives(model, certificate))
    help_ = f"use {found}" if found else "no scheme of the library is stable here"
    return Diagnostic("unstable-scheme", message, chosen.span, help_, severity="warning")


def _damped(sector: Sector, tested: TestedScheme, h: Fraction | float | None) -> str:
    """Which steps the decay makes stable all the same; nothing if no step is, or h is not given."""
    kept = f"; the decay γ = {sector.decay:g} keeps these away"
    reach = sector.reach(tested, float(h)) if h else 0.0
    at = f"h = {float(h):g}" if h and reach else ""
    if is_euler(tested):
        formula = f"with ω = {sector.frequency}, steps h ≤ 2 γ/(γ² + ω²) are stable"
        return f"{kept}: {formula}" + (f", {at} while ω ≤ {reach:.3g}" if at else "")
    if not at:
        return ""
    limit = f"steps {at} are stable while ω is up to about {reach:.3g}"
    return f"{kept}: with ω = {sector.frequency}, {limit}"


def limiting_axes(facts: Facts) -> Sequence[Axis] | str:
    """The axes on which a step must be stable for the spectrum that was proved; else all tested.

    Returns:
        Where nothing can be said of stability, a text that says why.
    """
    model, certificate = facts.model, facts.certificate
    stability = stability_of(model, facts.derivation)
    if isinstance(stability, str):
        return stability
    groups = model.discretisation.groups
    tested = decisive(stability, model.scheme, model.dynamics, groups)
    spectrum = tested_spectrum(model, certificate, model.scheme, groups)
    if tested is None or not spectrum.proved or spectrum.vanishing:
        return stability.axes
    return _needed(tested, spectrum)


def alternatives(model: Model, certificate: Certificate) -> list[str]:
    """The first few of the fitting schemes, each with its limits.

    The scheme in use is one of them only with other constants than it has, which are then shown.
    """
    used = model.scheme
    free = [(n, default) for n, default in used.constants if n not in used.decays and default]
    known = model.discretisation.constants
    changed = any(known.get(n) != evaluate(default, {}) for n, default in free)
    return [
        f"{_call(used) if found.name == used.name else found.name} ({found.limits})"
        for found in fitting_schemes(model, certificate)
        if found.name != used.name or changed
    ][:MOST]


@dataclass(frozen=True)
class Fitting:
    """A scheme of the library that takes the equations and is stable on their spectrum.

    Args:
        name: of the scheme.
        reversible: whether its steps are undone without stored activations.
        limits: where it is stable, such as `hω < 2`.
        line: the `discretise` line to paste.
    """

    name: str
    reversible: bool
    limits: str
    line: str


def fitting_schemes(model: Model, certificate: Certificate) -> list[Fitting]:
    """The library's schemes that take these equations and are stable for small steps.

    Those with a usable limit come first, among them the reversible ones, then those that allow
    long steps. Where nothing is proved about the spectrum, a scheme must be stable somewhere.

    Args:
        model: the typed program; its `discretise` line is not read.
        certificate: of its dynamics.
    """
    place = next(iter(model.dynamics.rates.values())).span or certificate.span
    assert place is not None
    found: list[tuple[tuple[bool, bool, float, int, str], Fitting]] = []
    for name in library():
        scheme = library_scheme(name)
        groups = fit(scheme, model.dynamics, place)
        if len(scheme.updates) > LONGEST or isinstance(groups, Diagnostic):
            continue
        values = _decays(model, scheme, groups)
        if values is None:
            continue
        reversible, stability = _facts(name, values)
        if isinstance(stability, str):
            continue
        tested = decisive(stability, scheme, model.dynamics, groups)
        spectrum = tested_spectrum(model, certificate, scheme, groups)
        axes = _stable_axes(tested, spectrum) if tested else []
        if axes:
            shortest = min(axis.limit for axis in axes)
            limits = " and ".join(_limit(axis) for axis in axes)
            fitting = Fitting(name, reversible, limits, f"discretise {_call(scheme)}")
            place_in_list = (
                shortest < USABLE, not reversible, -shortest, len(scheme.updates), name,
            )  # fmt: skip
            found.append((place_in_list, fitting))
    return [fitting for _, fitting in sorted(found, key=lambda row: row[0])]


def _stable_axes(tested: TestedScheme, certificate: Certificate) -> list[Axis]:
    """The axes that matter for a spectrum; empty where the scheme is unstable on one of them."""
    if not certificate.proved or certificate.vanishing:
        every = (tested.imaginary, tested.real)
        return [axis for axis in every if axis is not None and axis.limit]
    needed = _needed(tested, certificate)
    return needed if all(axis.limit for axis in needed) else []


def _call(scheme: Scheme) -> str:
    """`midpoint(h = 0.1)`: what a file writes after `discretise`."""
    constants = [f"h = {float(STEP):g}"] if scheme.uses_step_size else []
    for name, default in scheme.constants:
        if default is not None and default.span is not None:
            constants.append(f"{scheme.spellings.get(name, name)} = {default.span.text}")
    return f"{scheme.name}({', '.join(constants)})"


Values = tuple[tuple[str, Fraction | float], ...]


def _decays(model: Model, scheme: Scheme, groups: Mapping[str, tuple[State, ...]]) -> Values | None:
    """The constants that the equations give to a scheme; None if one is learned."""
    system = model.dynamics.system(scheme.patterns[0].order)
    try:
        return tuple(
            (name, evaluate(formula, model.constants))
            for name, formula in decay_factors(system, scheme, groups).items()
        )
    except NotANumber:
        return None


@cache
def _facts(name: str, decays: Values) -> tuple[bool, Stability | str]:
    """Whether a scheme of the library is reversible, and its stability; with a decay at h = 0.1."""
    derivation = derive(library_scheme(name))
    values = {**dict(decays), "h": STEP} if decays else {}
    return derivation.reversible, derivation.stability_at(values)


def _limit(axis: Axis) -> str:
    if axis.limit == float("inf"):
        return f"every {axis.variable}"
    return f"{axis.variable} {'≤' if axis.closed else '<'} {axis.limit:.4g}"


def _needed(tested: TestedScheme, certificate: Certificate) -> list[Axis]:
    """The axes along which a scheme must be stable for a spectrum."""
    names = {"imaginary": ("imaginary",), "real": ("real",), "stable": ("imaginary", "real")}
    axes = (getattr(tested, name) for name in names[certificate.verdict])
    return [axis for axis in axes if axis is not None]
