"""What is known about a file, as it is passed to the later stages."""

from dataclasses import dataclass

from odenet.analyse.certificate import Certificate
from odenet.derive import Derivation
from odenet.model.typed.program import Model


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A file, and what was derived and proved about it.

    Args:
        model: the typed program.
        derivation_or_none: what was derived from its scheme; None in a file without `discretise`.
        certificate: what is known about the spectrum of its dynamics.
    """

    model: Model
    derivation_or_none: Derivation | None
    certificate: Certificate

    @property
    def derivation(self) -> Derivation:
        """What was derived from the scheme; only for files with a `discretise` line."""
        assert self.derivation_or_none is not None, "this file has no discretisation"
        return self.derivation_or_none
