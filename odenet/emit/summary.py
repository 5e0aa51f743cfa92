"""What was derived and proved of a program, in five lines; `odenet.emit.printing` says how."""

from collections.abc import Iterator, Sequence

from odenet.analyse.advice import limiting_axes
from odenet.analyse.claims import SIGNS, ClaimResult
from odenet.analyse.facts import Facts
from odenet.analyse.numbers_only import numbers_only
from odenet.analyse.scheme_on_dynamics import EPS, depth, irreversible, undone
from odenet.derive import Derivation
from odenet.emit import notation
from odenet.emit.numerics import kept, steps_that_differ
from odenet.model.typed.program import Model
from odenet.visible_drift import VISIBLE_DRIFT


def summary_rows(facts: Facts, claims: Sequence[ClaimResult]) -> list[tuple[str, str]]:
    """A label and a line each: order, limit, round trip, spectrum, claims.

    A file without a `discretise` line has the last two, and the energy where there is one.
    """
    certificate = facts.certificate
    rows = list(_of_steps(facts)) if facts.derived is not None else []
    rows.append(("spectrum", certificate.summary.removeprefix("spectrum ")))
    if facts.derived is None and certificate.energy is not None:
        rows.append(("energy", str(certificate.energy)))
    if claims:
        words = [f"{SIGNS[claim.holds]} {claim.name} {claim.verdict}" for claim in claims]
        rows.append(("claims", ", ".join(words)))
    return rows


def _of_steps(facts: Facts) -> Iterator[tuple[str, str]]:
    model, derivation = facts.model, facts.derivation
    symmetric = "symmetric" if derivation.symmetric else "not symmetric"
    note = f"; {derivation.accuracy.note}" if derivation.accuracy.note else ""
    yield "order", f"{derivation.accuracy}, {symmetric} ({notation.discretisation(model)}){note}"
    if derivation.accuracy.parasitic:
        yield "parasitic", derivation.accuracy.parasitic
    if model.discretisation.tolerance is None:
        yield "limit", _limit(facts)
    yield "round trip", _round_trip(model, derivation)


def _limit(facts: Facts) -> str:
    """Where steps are stable, on the axes that the spectrum can reach."""
    model = facts.model
    axes = limiting_axes(facts)
    if isinstance(axes, str):
        return f"none is known: {axes}"
    exactly = numbers_only(model)
    found = [axis.short for axis in axes] + ([] if exactly is None else [str(exactly)])
    return "; ".join([*found, *steps_that_differ(model)])


def _round_trip(model: Model, derivation: Derivation) -> str:
    """How exactly steps are undone; why they are not, where they are not."""
    if why := irreversible(model, derivation):
        return f"none, not reversible: {why}"
    if model.discretisation.exact:
        return kept(model, derivation)
    found = undone(model, derivation, depth(model))
    if found is None:
        return "undone line by line; no estimate of its rounding error"
    steps = found.counted
    single = found.error.estimate
    where = f"({found.axis.variable} ≤ {found.reach:.3g})"
    if not single <= VISIBLE_DRIFT:
        return f"{steps} are undone too coarsely to train by in float32, ≈ {single:.0e} {where}"
    coarse = found.error.times(EPS["bfloat16"] / EPS["float32"]).estimate
    low = "" if coarse <= VISIBLE_DRIFT else "; bfloat16 too coarse"
    return f"{steps} undone to ≈ {single:.0e} in float32 {where}{low}"
