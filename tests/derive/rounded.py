"""Simulates low precision: arithmetic that is rounded to a few bits after every operation."""

from __future__ import annotations

import numpy as np

from odenet.derive import derive
from tests.derive.numeric import SCHEMES, constant_values, evaluate, step, step_back

# bits of the mantissa, the leading one included
BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
SHAPE = (2, 50)  # of a value: fifty points of a plane, which _rates may rotate


class Rounded:
    """An array of numbers with mantissas of some bits and unlimited exponents.

    Args:
        values: the numbers, which are rounded to the nearest.
        bits: the number of bits of the mantissa, the leading one included.
    """

    __array_ufunc__ = None  # numbers on the left leave the operation to this class

    def __init__(self, values, bits: int):
        mantissa, exponent = np.frexp(np.asarray(values, dtype=float))
        self.bits = bits
        self.values = np.ldexp(np.rint(mantissa * 2.0**bits), exponent - bits)

    def _operand_values(self, other) -> np.ndarray:
        return other.values if isinstance(other, Rounded) else Rounded(other, self.bits).values

    def __add__(self, other):
        return Rounded(self.values + self._operand_values(other), self.bits)

    __radd__ = __add__

    def __sub__(self, other):
        return Rounded(self.values - self._operand_values(other), self.bits)

    def __rsub__(self, other):
        return Rounded(self._operand_values(other) - self.values, self.bits)

    def __mul__(self, other):
        return Rounded(self.values * self._operand_values(other), self.bits)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return Rounded(self.values / self._operand_values(other), self.bits)


def roundtrip_error(name: str, frequencies, precision: str, h: float = 0.1) -> float:
    """The measured error after steps and as many inverse steps, begun by the scheme's start lines.

    Args:
        name: the name of a scheme in SCHEMES.
        frequencies: ω of the test equation, one for every step.
        precision: a key of BITS.
        h: step size.

    Returns:
        The Euclidean norm of the error over that of the first state.
    """
    bits, scheme, derivation = BITS[precision], SCHEMES[name], derive(SCHEMES[name])
    numbers = constant_values(scheme, h)
    rng = np.random.default_rng(0)
    state = {
        slot: Rounded(rng.normal(size=SHAPE), bits) for slot in scheme.slots if not slot.offset
    }
    for slot, node in scheme.starts:
        initial = evaluate(node, state, _rates(scheme, frequencies[0], bits), numbers)
        state[slot] = initial if isinstance(initial, Rounded) else Rounded(np.zeros(SHAPE), bits)
    first = state = {slot: state[slot] for slot in scheme.slots}
    for frequency in frequencies:
        state = step(scheme, state, _rates(scheme, frequency, bits), numbers)
    for frequency in reversed(frequencies):
        state = step_back(derivation, state, _rates(scheme, frequency, bits), numbers)
    errors = np.concatenate([state[slot].values - first[slot].values for slot in scheme.slots])
    size = np.linalg.norm(np.concatenate([part.values for part in first.values()]))
    return float(np.linalg.norm(errors) / size)


def _rates(scheme, frequency: float, bits: int) -> dict:
    """Right-hand sides with eigenvalues ±iω: a rotation, a coupled pair, or an oscillator of order 2."""
    rates = {}
    for index, pattern in enumerate(scheme.patterns):
        if pattern.order == 2:
            rates[pattern.function] = lambda x: -frequency * (frequency * x)
        elif pattern.unknown in pattern.reads:
            rates[pattern.function] = lambda x: Rounded(
                frequency * np.stack([x.values[1], -x.values[0]]), bits
            )
        else:
            sign = -1 if index else 1
            rates[pattern.function] = lambda x, sign=sign: sign * frequency * x
    return rates
