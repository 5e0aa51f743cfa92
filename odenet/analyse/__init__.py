"""Proofs about the dynamics: spectrum, energy, and the claims of `require`."""

from odenet.analyse.certificate import Assumption, Certificate
from odenet.analyse.certify import certify
from odenet.analyse.counterexample import Witness
from odenet.analyse.energy import Energy, EnergyTerm

__all__ = ["Assumption", "Certificate", "Energy", "EnergyTerm", "Witness", "certify"]
