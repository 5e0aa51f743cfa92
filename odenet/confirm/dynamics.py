"""The check of a certificate against the author's formulas at random points."""

from odenet.analyse.certificate import Certificate
from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems
from odenet.analyse.read_units import read_system
from odenet.analyse.units import System, Unit
from odenet.confirm.disagreement import Disagreement, NotEvaluable
from odenet.confirm.energy import energy_failure
from odenet.confirm.evaluation import Evaluation
from odenet.confirm.matrices import Matrix, add, frobenius_norm, identity
from odenet.confirm.operator_evaluation import OperatorEvaluation
from odenet.confirm.proof_parts import PartCheck
from odenet.confirm.random_point import Point, draw_point
from odenet.confirm.spectrum import violating_eigenvalue
from odenet.confirm.unit_form import TOLERANCE, jacobian, jacobian_difference, unit_values
from odenet.model.typed.program import Model

POINTS_TO_CHECK = 3  # points at which the certificate is compared
MOST_POINTS = 40  # points that are drawn; at some the proof divides by 0
FIRST_SEED = 2018  # the next points have the next seeds
LARGEST_NORM = 1e100  # products of larger numbers may overflow


def confirm_certificate(model: Model, certificate: Certificate) -> None:
    """Compare a certificate with numbers.

    The proof rests on the *unit form* of the dynamics, s' = L φ(R s + b) plus linear terms.
    At each point its Jacobian is compared with that of the formulas as written, the matrices of the
    proof with each other, the eigenvalues with the verdict, and dE/dt with the claim about the
    energy. The points satisfy the assumptions of the certificate.

    Args:
        model: the typed program.
        certificate: the certificate of its dynamics.

    Raises:
        Disagreement: the numbers contradict the certificate.
        NotEvaluable: a formula cannot be evaluated numerically, so nothing is checked.
    """
    if not certificate.proved and certificate.energy is None:
        return
    reader = FormulaReader(model)
    try:
        # In the second form, A of `K A` is a unit of its own where A is affine in the states.
        with_linear_units = read_system(model, reader, keep_affine=True)
        systems = list(dict.fromkeys((read_system(model, reader), with_linear_units)))
    except OutsideTheorems as outside:
        message = f"a verdict on what is outside all theorems: {outside}"
        raise Disagreement(message, FIRST_SEED, model.name) from None
    checked_points = 0
    for seed in range(FIRST_SEED, FIRST_SEED + MOST_POINTS):
        if checked_points == POINTS_TO_CHECK:
            return
        point = draw_point(model, seed, _nonnegative_parameters(certificate))
        try:
            failure = _failure_at(model, certificate, reader, systems, point)
            checked_points += 1
        except ZeroDivisionError:
            # the proof divides by a gate such as relu(u), which is 0 at this point
            continue
        except (ArithmeticError, ValueError) as error:
            if isinstance(error, NotEvaluable):
                raise
            if isinstance(error, OverflowError):
                raise NotEvaluable("its numbers are too large") from None
            failure = str(error)
        if failure is not None:
            raise Disagreement(failure, seed, model.name)
    if not checked_points:
        raise NotEvaluable("the proof divides by what is 0 at every point drawn")


def _nonnegative_parameters(certificate: Certificate) -> set[str]:
    """The parameters that the certificate assumes to be >= 0."""
    return {a.subject for a in certificate.assumptions if a.kind in ("sign", "gain")}


def _failure_at(
    model: Model,
    certificate: Certificate,
    reader: FormulaReader,
    systems: list[System],
    point: Point,
) -> str | None:
    """What the numbers at a point contradict, as a sentence; None if nothing."""
    evaluation = Evaluation(model, point)
    operators, true_jacobian = OperatorEvaluation(evaluation, reader), jacobian(evaluation)
    if not frobenius_norm(true_jacobian) < LARGEST_NORM:
        raise NotEvaluable("its numbers are too large")
    for system in systems:
        error = jacobian_difference(system, operators, true_jacobian)
        if not error <= TOLERANCE:
            return f"Σ L D R is not the Jacobian: they differ by {error:.2g} of the largest entry"
    for part in certificate.parts:
        failure = PartCheck(part, _with_slopes(operators, part.absorbed_units)).failure()
        if failure is not None:
            return failure
    if certificate.proved:
        value = violating_eigenvalue(true_jacobian, certificate.verdict)
        if value is not None:
            return f"an eigenvalue {value:.3g} of the Jacobian, but {certificate.summary}"
    failure = _decay_rate_failure(certificate, operators, true_jacobian)
    energy = certificate.energy
    if failure is not None or energy is None:
        return failure
    absorbed = energy.part.absorbed_units if energy.part is not None else ()
    return energy_failure(energy, energy.part, _with_slopes(operators, absorbed))


def _decay_rate_failure(
    certificate: Certificate, operators: OperatorEvaluation, true_jacobian: Matrix
) -> str | None:
    """An eigenvalue with Re λ > -r, as a sentence, if every part of the proof has a rate r."""
    rates = [part.rate for part in certificate.parts if part.rate is not None]
    if not rates or len(rates) < len(certificate.parts):
        return None
    slowest = min(operators.number(rate) for rate in rates)
    shifted = add(true_jacobian, identity(len(true_jacobian)), slowest)
    value = violating_eigenvalue(shifted, "stable")
    if value is None:
        return None
    return f"an eigenvalue {value - slowest:.3g} of the Jacobian, but Re λ ≤ -{slowest:.3g}"


def _with_slopes(
    operators: OperatorEvaluation, absorbed: tuple[tuple[str, Unit], ...]
) -> OperatorEvaluation:
    """The operators, with values for the slopes D′ of `absorbed` units, which words contain."""
    if not absorbed:
        return operators
    slopes = {name: unit_values(unit, operators).slopes for name, unit in absorbed}
    return OperatorEvaluation(operators.evaluation, operators.reader, slopes)
