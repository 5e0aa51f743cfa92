"""What a certificate says, against the author's formulas at points drawn at random."""

from odenet.analyse.certificate import Certificate
from odenet.analyse.read_formulas import FormulaReader, OutsideTheorems
from odenet.analyse.read_units import read_system
from odenet.analyse.units import System, Unit
from odenet.confirm.disagreement import Disagreement, NoNumbers
from odenet.confirm.draw import Point, draw
from odenet.confirm.energy import energy_failure
from odenet.confirm.fields import Evaluation
from odenet.confirm.matrices import Matrix, add, identity, norm
from odenet.confirm.parts import PartCheck
from odenet.confirm.spectrum import misplaced
from odenet.confirm.unit_form import TOLERANCE, difference, jacobian, unit_values
from odenet.confirm.words import Words
from odenet.model.typed.program import Model

POINTS = 3
MOST_POINTS = 40  # that are drawn for as many as can be judged
SEED = 2018
RANGE = 1e100  # products of larger numbers may be infinite


def confirm_certificate(model: Model, certificate: Certificate) -> None:
    """Compare a verdict and an energy with numbers.

    At each point: the unit form with the Jacobian of the formulas as they are written; the matrices
    of the proof with each other; the eigenvalues with the verdict; and dE/dt with what the energy
    says. The assumptions hold at the points.

    Args:
        model: the typed program.
        certificate: of its dynamics.

    Raises:
        Disagreement: something is not as it is said to be.
        NoNumbers: a formula has no numerical model, so that nothing can be said.
    """
    if not certificate.proved and certificate.energy is None:
        return
    reader = FormulaReader(model)
    try:
        systems = {s: None for s in (read_system(model, reader), read_system(model, reader, True))}
    except OutsideTheorems as outside:
        message = f"a verdict on what is outside all theorems: {outside}"
        raise Disagreement(message, SEED, model.name) from None
    judged = 0
    for seed in range(SEED, SEED + MOST_POINTS):
        if judged == POINTS:
            return
        point = draw(model, seed, _positive(certificate))
        try:
            failure = _failure(model, certificate, reader, list(systems), point)
            judged += 1
        except ZeroDivisionError:
            # a gate such as relu(u) is 0 here, where a C that divides by it is a limit
            continue
        except (ArithmeticError, ValueError) as error:
            if isinstance(error, NoNumbers):
                raise
            if isinstance(error, OverflowError):
                raise NoNumbers("its numbers are too large") from None
            failure = str(error)
        if failure is not None:
            raise Disagreement(failure, seed, model.name)
    if not judged:
        raise NoNumbers("the proof divides by what is 0 at every point drawn")


def _positive(certificate: Certificate) -> set[str]:
    """The parameters that the certificate takes to be >= 0."""
    return {a.subject for a in certificate.assumptions if a.kind in ("sign", "gain")}


def _failure(
    model: Model,
    certificate: Certificate,
    reader: FormulaReader,
    systems: list[System],
    point: Point,
) -> str | None:
    """What is not so at a point, if anything is."""
    evaluation = Evaluation(model, point)
    words, actual = Words(evaluation, reader), jacobian(evaluation)
    if not norm(actual) < RANGE:
        raise NoNumbers("its numbers are too large")
    for system in systems:
        off = difference(system, words, actual)
        if not off <= TOLERANCE:
            return f"Σ L D R is not the Jacobian: they differ by {off:.2g} of the largest entry"
    for part in certificate.parts:
        failure = PartCheck(part, _with_slopes(words, part.absorbed_units)).failure()
        if failure is not None:
            return failure
    if certificate.proved:
        value = misplaced(actual, certificate.verdict)
        if value is not None:
            return f"an eigenvalue {value:.3g} of the Jacobian, but {certificate.summary}"
    failure = _rate_failure(certificate, words, actual)
    energy = certificate.energy
    if failure is not None or energy is None:
        return failure
    slopes = energy.part.absorbed_units if energy.part is not None else ()
    return energy_failure(energy, energy.part, _with_slopes(words, slopes))


def _rate_failure(certificate: Certificate, words: Words, actual: Matrix) -> str | None:
    """An eigenvalue to the right of -r, where every part says that there is none."""
    rates = [part.rate for part in certificate.parts if part.rate is not None]
    if not rates or len(rates) < len(certificate.parts):
        return None
    slowest = min(words.number(rate) for rate in rates)
    value = misplaced(add(actual, identity(len(actual)), slowest), "stable")
    if value is None:
        return None
    return f"an eigenvalue {value - slowest:.3g} of the Jacobian, but Re λ ≤ -{slowest:.3g}"


def _with_slopes(words: Words, absorbed: tuple[tuple[str, Unit], ...]) -> Words:
    """Words in which the slopes of units among the linear terms have their values."""
    if not absorbed:
        return words
    slopes = {name: unit_values(unit, words).slopes for name, unit in absorbed}
    return Words(words.evaluation, words.reader, slopes)
