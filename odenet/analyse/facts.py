"""All that is known of a specification, as the later stages take it."""

from dataclasses import dataclass

from odenet.analyse.certificate import Certificate
from odenet.derive import Derivation
from odenet.model.typed.program import Model


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a file says, and what follows from it.

    Args:
        model: the typed program.
        derived: what follows from the text of its scheme; None in a file without steps.
        certificate: what is known of the spectrum of its dynamics.
    """

    model: Model
    derived: Derivation | None
    certificate: Certificate

    @property
    def derivation(self) -> Derivation:
        """What follows from the scheme; asked only where the file has steps."""
        assert self.derived is not None, "this file has no discretisation"
        return self.derived
