"""Proofs about the dynamics: spectrum, energy, claims of `require`, and advice on the scheme.

`certify` is symbolic and fast. `decide` also searches for a counterexample if nothing is proved.
That needs numpy; the modules that import numpy are loaded when one of their names is first used.
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
    from odenet.analyse.advice import FittingScheme, advise, fitting_schemes
    from odenet.analyse.refute import search_witness

__all__ = [
    "TRIALS",
    "Assumption",
    "Certificate",
    "ClaimResult",
    "Energy",
    "EnergyTerm",
    "Facts",
    "FittingScheme",
    "Witness",
    "advise",
    "certify",
    "check_claims",
    "decide",
    "fitting_schemes",
    "search_witness",
]

_LAZY = {"advice": ("FittingScheme", "advise", "fitting_schemes"), "refute": ("search_witness",)}


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
