"""Proofs about the dynamics: spectrum, energy, claims of `require`, and advice on the scheme.

`certify` is symbolic and quick. `decide` also searches for a counterexample where nothing is
proved. That needs numpy, which is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from odenet.analyse.certificate import Assumption, Certificate
from odenet.analyse.certify import certify
from odenet.analyse.claims import ClaimResult, check_claims
from odenet.analyse.counterexample import Witness
from odenet.analyse.decide import TRIALS, decide
from odenet.analyse.energy import Energy, EnergyTerm
from odenet.analyse.facts import Facts

if TYPE_CHECKING:
    from odenet.analyse.advice import Fitting, advise, fitting_schemes
    from odenet.analyse.witness import search_witness

__all__ = [
    "TRIALS",
    "Assumption",
    "Certificate",
    "ClaimResult",
    "Energy",
    "EnergyTerm",
    "Facts",
    "Fitting",
    "Witness",
    "advise",
    "certify",
    "check_claims",
    "decide",
    "fitting_schemes",
    "search_witness",
]

_LATER = {
    "Fitting": "advice",
    "advise": "advice",
    "fitting_schemes": "advice",
    "search_witness": "witness",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
