"""Constants that differ from step to step: whether every step keeps the conditions of a scheme."""

import math

from odenet.derive import Derivation
from odenet.model.typed.program import Model


def ends(model: Model, derivation: Derivation, name: str) -> tuple[float, float]:
    return -math.inf, math.inf
