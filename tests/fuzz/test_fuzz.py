"""A short run of the fuzzer, and four specs on which long runs failed before.

Every input must be refused with an error at its place or compile, within limits of time and memory.
"""

import pytest

from tests.fuzz import draw
from tests.fuzz.examine import examine_all_stages, examine_file, examine_front_end

# Each of these once raised an exception other than SpecError, or took minutes.
IRRATIONAL = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise mine(h = 0.1, a = 2)
scheme mine(a) {
    for Y' = F(Y)
    start Y[-1] = 0
    Y[n+1] = Y[n] + 2^(1/3) Y[n-1] + a h F(Y[n])
}
"""
SYMMETRIC_AT_ZERO = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise mine(h = 0.1, a = 0)
scheme mine(a) {
    for Y' = F(Y)
    Y[n+1] = Y[n] + a h F(Y[n])
}
"""
TWO_CONSTANTS = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise mine(h = 0.1, a = 0.5, b = 0)
scheme mine(a, b) {
    for Y' = F(Y)
    start Y[-1] = 0
    start Y[-2] = Y[0]
    k = F(Y[n-2])
    Y[n+1] = Y[n] + 0.3 Y[n-1] + (a + b) h k + 1/3 h F(Y[n-2])
}
"""
LONG_DETERMINANT = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y)
discretise mine(h = 0.1)
scheme mine {
    for Y' = F(Y)
    start Y[-1] = 0
    start Y[-2] = 0
    k = F(Y[n-2] + 2^(1/3) h F(Y[n-1]))
    l = F(Y[n] + 1/3 h k)
    Y[n+1] = Y[n] + 1/2 Y[n-1] + 1/3 Y[n-2] + 0.3 h l
}
"""


@pytest.mark.parametrize(
    "text",
    [IRRATIONAL, SYMMETRIC_AT_ZERO, TWO_CONSTANTS, LONG_DETERMINANT],
    ids=["irrational", "symmetric at zero", "two constants", "long determinant"],
)
def test_a_spec_that_failed_before_compiles(text):
    assert examine_all_stages(text) == "compiled"


@pytest.mark.parametrize("seed", range(8))
def test_a_drawn_text_gets_an_answer(seed):
    also_formatted = seed % 4 == 1  # two of the eight, since it doubles the time
    assert examine_all_stages(draw.spec_text(seed), also_formatted)


def test_a_file_of_any_bytes_gets_an_answer(tmp_path):
    for seed in range(40):
        assert examine_file(draw.file_bytes(seed), tmp_path, examine_all_stages)


def test_a_damaged_text_gets_an_answer():
    for seed in range(100):
        assert examine_front_end(draw.damaged_text(seed))
