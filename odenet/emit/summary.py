"""The summary of a program in five lines: order, limit, round trip, spectrum and claims."""

from collections.abc import Iterator, Sequence

from odenet.analyse.advice import limiting_axes
from odenet.analyse.claims import VERDICT_MARKS, ClaimResult
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import (
    EPS,
    estimate_round_trip,
    flow_depth,
    reason_irreversible,
)
from odenet.analyse.step_matrix import step_matrix_stability
from odenet.derive import Derivation
from odenet.emit import notation
from odenet.emit.numerics import differing_steps, exact_arithmetic_line
from odenet.model.typed.program import Model
from odenet.visible_drift import VISIBLE_DRIFT


def summary_rows(facts: Facts, claims: Sequence[ClaimResult]) -> list[tuple[str, str]]:
    """Pairs of a label and a line: order, limit, round trip, spectrum, claims.

    A file without a `discretise` line has the last two, and the energy where there is one.
    """
    certificate = facts.certificate
    rows = list(_step_rows(facts)) if facts.derivation_or_none is not None else []
    rows.append(("spectrum", certificate.summary.removeprefix("spectrum ")))
    if facts.derivation_or_none is None and certificate.energy is not None:
        rows.append(("energy", str(certificate.energy)))
    if claims:
        words = [f"{VERDICT_MARKS[claim.holds]} {claim.name} {claim.verdict}" for claim in claims]
        rows.append(("claims", ", ".join(words)))
    return rows


def _step_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    """The lines about the steps: order, limit and round trip."""
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
    """The step sizes for which steps are stable, on the axes that the spectrum can reach."""
    model = facts.model
    axes = limiting_axes(facts)
    if isinstance(axes, str):
        return f"none is known: {axes}"
    matrix_stability = step_matrix_stability(model)
    limits = [axis.short_sentence for axis in axes]
    limits += [] if matrix_stability is None else [str(matrix_stability)]
    return "; ".join([*limits, *differing_steps(model)])


def _round_trip(model: Model, derivation: Derivation) -> str:
    """The error of inverse steps, or why there are none."""
    if why := reason_irreversible(model, derivation):
        return f"none, not reversible: {why}"
    if model.discretisation.exact:
        return exact_arithmetic_line(model, derivation)
    round_trip = estimate_round_trip(model, derivation, flow_depth(model))
    if round_trip is None:
        return "undone line by line; no estimate of its rounding error"
    steps = round_trip.step_count_text
    error = round_trip.error.estimate
    where = f"({round_trip.axis.variable} ≤ {round_trip.axis_bound:.3g})"
    if not error <= VISIBLE_DRIFT:
        return f"{steps} are undone too coarsely to train by in float32, ≈ {error:.0e} {where}"
    bfloat16_error = round_trip.error.scaled(EPS["bfloat16"] / EPS["float32"]).estimate
    bfloat16_note = "" if bfloat16_error <= VISIBLE_DRIFT else "; bfloat16 too coarse"
    return f"{steps} undone to ≈ {error:.0e} in float32 {where}{bfloat16_note}"
