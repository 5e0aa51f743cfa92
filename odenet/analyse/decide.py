"""The verdict that all commands give: a proof, or the outcome of a search for a counterexample."""

from odenet.analyse.certificate import Certificate
from odenet.analyse.certify import certify
from odenet.model.typed.program import Model

TRIALS = 64  # random starts of the search, which take seconds; ten find most counterexamples


def decide(model: Model, trials: int = TRIALS, seed: int = 0) -> Certificate:
    """The certificate of a model, after a search for a counterexample if nothing is proved.

    Args:
        model: the typed program.
        trials: number of random starts of the search; 0 for none.
        seed: the seed of the search.

    Returns:
        A certificate whose verdict is proved, or "refuted" with a witness, or "open". It depends on
        the arguments only.
    """
    certificate = certify(model)
    if certificate.proved or not trials:
        return certificate
    from odenet.analyse.refute import search_counterexample  # needs numpy, unlike proofs

    return search_counterexample(certificate, model, trials, seed)
