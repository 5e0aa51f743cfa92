"""A second pair of eyes: no verdict, energy, inverse or order is reported that numbers contradict.

Everything the compiler says is compared with the author's text at points drawn at random, with a
fixed seed and in milliseconds. Nothing here is shared with the proofs but the statements
themselves. A disagreement is a fault of odenet's own, and never becomes a verdict.
"""

from dataclasses import replace

from odenet.analyse.certificate import Certificate
from odenet.confirm.disagreement import Disagreement, NoNumbers
from odenet.confirm.dynamics import confirm_certificate
from odenet.confirm.scheme import confirm_derivation
from odenet.derive import Derivation
from odenet.model.typed.program import Model

__all__ = ["Disagreement", "NoNumbers", "confirmed", "confirmed_derivation"]


def confirmed(model: Model, certificate: Certificate) -> Certificate:
    """A certificate that numbers agree with; without what they cannot be compared with.

    Raises:
        Disagreement: something is not as it is said to be.
    """
    try:
        confirm_certificate(model, certificate)
    except NoNumbers as error:
        if not certificate.proved:
            return replace(certificate, energy=None)
        reason = f"a proof was found, but not confirmed by numbers: {error}"
        return replace(certificate, verdict="open", parts=(), energy=None, reason=reason)
    return certificate


def confirmed_derivation(model: Model, derivation: Derivation) -> Derivation:
    """A derivation that numbers agree with, at the constants of the file.

    Raises:
        Disagreement: something is not as it was derived.
    """
    # In numbers all steps are alike; where they are not, what is said of the order is less.
    alike = replace(derivation, varying=())
    confirm_derivation(alike, model.discretisation.constants)
    return derivation
