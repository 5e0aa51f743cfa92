"""Spectrum and scheme together: warnings before anything is trained, with what to use instead."""

from collections.abc import Callable, Mapping
from functools import cache

from odenet.analyse.certificate import Certificate
from odenet.analyse.scheme_on_dynamics import depth, drift_warning, stability_of
from odenet.derive import Axis, Derivation, Stability, derive
from odenet.diagnostics import Diagnostic
from odenet.model.fit import fit
from odenet.model.program import Model, flows_of
from odenet.model.schemes import library, library_scheme

MOST = 5  # alternatives that a warning lists
LONGEST = 7  # lines of a scheme that is offered: longer ones are slow to derive
WHERE = {
    "imaginary": "on an imaginary spectrum",
    "real": "on a real, negative spectrum",
    "stable": "on a dissipative spectrum",
}


def advise(model: Model, derivation: Derivation, certificate: Certificate) -> list[Diagnostic]:
    """Warnings about a scheme on these dynamics.

    Args:
        model: the typed program.
        derivation: of its scheme.
        certificate: of its dynamics.

    Returns:
        That no step size is stable on the proved spectrum, and that so many steps are not undone
        well enough to train by.
    """
    trained = any(flows_of(model.net))
    found = (
        _unstable(model, derivation, certificate),
        drift_warning(model, derivation, depth(model)) if trained else None,
    )
    return [warning for warning in found if warning is not None]


def _unstable(model: Model, derivation: Derivation, certificate: Certificate) -> Diagnostic | None:
    """A certificate that proves nothing gives no warning."""
    stability = stability_of(model, derivation)
    if not certificate.proved or certificate.vanishing or isinstance(stability, str):
        return None
    scheme = model.scheme.name
    blocked = [axis for axis in _needed(stability, certificate) if not axis.limit]
    if not blocked:
        return None
    step = blocked[0].variable[0]
    message = f"{scheme} is unstable for every {step} {WHERE[certificate.verdict]}"
    found = ", ".join(alternatives(model, certificate))
    help_ = f"use {found}" if found else "no scheme of the library is stable here"
    return Diagnostic(message, model.discretisation.span, help=help_, severity="warning")


def alternatives(model: Model, certificate: Certificate) -> list[str]:
    """A few of the library's schemes that take these equations and are stable for small steps.

    Reversible ones come first, then those that allow long steps; each with its limits.
    """
    found: list[tuple[bool, float, str]] = []
    for name in library():
        scheme = library_scheme(name)
        taken = fit(scheme, model.dynamics, model.discretisation.span)
        if isinstance(taken, Diagnostic) or len(scheme.updates) > LONGEST:
            continue
        reversible, stability = _facts(name)
        if isinstance(stability, str):
            continue
        axes = _needed(stability, certificate)
        if all(axis.limit for axis in axes):
            limits = " and ".join(_limit(axis) for axis in axes)
            shortest = min((axis.limit for axis in axes), default=0.0)
            found.append((not reversible, -shortest, f"{name} ({limits})"))
    return [text for *_, text in sorted(found)[:MOST]]


@cache
def _facts(name: str) -> tuple[bool, Stability | str]:
    """Whether a scheme of the library is reversible, and its stability."""
    derivation = derive(library_scheme(name))
    return derivation.reversible, derivation.stability


def _limit(axis: Axis) -> str:
    if axis.limit == float("inf"):
        return f"every {axis.variable}"
    return f"{axis.variable} {'≤' if axis.closed else '<'} {axis.limit:.4g}"


def _needed(stability: Stability, certificate: Certificate) -> list[Axis]:
    """The axes along which a scheme must be stable for a spectrum."""
    real = [stability.real] if stability.real is not None else []
    choose: Mapping[str, Callable[[], list[Axis]]] = {
        "imaginary": lambda: [stability.imaginary],
        "real": lambda: real,
        "stable": lambda: [stability.imaginary, *real],
    }
    return choose[certificate.verdict]()
