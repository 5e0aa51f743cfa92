"""Numerical checks of everything that is proved or derived, before it is reported.

Verdicts, energies, inverses and orders are compared with the author's text at random points, with a
fixed seed and in milliseconds. The checks share no code with the proofs. A disagreement is a bug of
odenet, and raises an error.
"""

from dataclasses import replace

from odenet.analyse.certificate import Certificate
from odenet.confirm.disagreement import Disagreement, NotEvaluable
from odenet.confirm.dynamics import confirm_certificate
from odenet.confirm.scheme import confirm_derivation
from odenet.derive import Derivation
from odenet.model.typed.program import Model

__all__ = ["Disagreement", "NotEvaluable", "confirmed_certificate", "confirmed_derivation"]


def confirmed_certificate(model: Model, certificate: Certificate) -> Certificate:
    """The certificate, after a check by numbers.

    If a formula cannot be evaluated numerically, the energy is dropped, and a verdict that was
    proved becomes "open"; a refutation stays.

    Raises:
        Disagreement: the numbers contradict it.
    """
    try:
        confirm_certificate(model, certificate)
    except NotEvaluable as error:
        if not certificate.proved:
            return replace(certificate, energy=None)
        reason = f"a proof was found, but not confirmed by numbers: {error}"
        return replace(certificate, verdict="open", parts=(), energy=None, reason=reason)
    return certificate


def confirmed_derivation(model: Model, derivation: Derivation) -> Derivation:
    """The derivation, after a check by numbers with the file's values of the scheme's constants.

    Raises:
        Disagreement: the numbers contradict it.
        NotEvaluable: a line of the scheme cannot be evaluated numerically.
    """
    # The check takes equal steps, for which the derivation claims more than for unequal ones.
    with_equal_steps = replace(derivation, varying=())
    confirm_derivation(with_equal_steps, model.discretisation.constants)
    return derivation
