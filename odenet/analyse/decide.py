"""Prove, and where that fails look for a counterexample: the verdict that every command gives."""

from odenet.analyse.certificate import Certificate
from odenet.analyse.certify import certify
from odenet.model.typed.program import Model

TRIALS = 64  # starts of the search: in seconds at most, and most finds come within ten


def decide(model: Model, trials: int = TRIALS, seed: int = 0) -> Certificate:
    """The certificate, and for what it leaves open a search for a counterexample.

    Args:
        model: the typed program.
        trials: how many starts; 0 for proofs only.
        seed: of the search.

    Returns:
        A certificate whose verdict is proved, or "refuted" with a witness, or "open". The same
        arguments give the same one.
    """
    certificate = certify(model)
    if certificate.proved or not trials:
        return certificate
    from odenet.analyse.witness import searched  # numpy, which proofs do without

    return searched(certificate, model, trials, seed)
