"""Order, symmetry, inverse and stability of published schemes, as derived, published and measured."""

from fractions import Fraction

import numpy as np
import pytest

from odenet.derive import derive
from odenet.derive.order import derive_order
from odenet.model.elaboration.library import library_names, library_scheme
from tests.derive.convergence import STEPS, Problem
from tests.derive.literature import FOLDER, LITERATURE, PUBLISHED
from tests.derive.numeric import DECAY, Network, constant_values, step, step_back

# Numbers of steps for schemes whose error is rounding, or not yet on its slope, at those of STEPS.
OTHER_STEPS = {
    "etd4rk": (8, 16), "adams_bashforth4": (160, 320), "coupled_bosh3": (800, 1600),
    "coupled_dopri5": (8, 16),
}  # fmt: skip


def test_every_published_scheme_has_its_row_and_its_source():
    files = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.ode")}
    assert files.keys() == PUBLISHED.keys() == LITERATURE.keys()
    assert len(files) >= 40
    assert all("#" in text for text in files.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_order_is_the_published_one_and_the_measured_slope(name):
    scheme, row = LITERATURE[name], PUBLISHED[name]
    assert derive_order(scheme).value == row.order
    if row.order is not None:
        slope = Problem(scheme).convergence_slope(OTHER_STEPS.get(name) or STEPS[row.order])
        assert slope == pytest.approx(row.order, abs=0.6 if name == "coupled_dopri5" else 0.2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_reversal_and_symmetry_are_the_published_ones(name):
    scheme, row = LITERATURE[name], PUBLISHED[name]
    found = derive(scheme)
    assert (found.reversible, found.symmetric) == (row.reversible, row.symmetric)
    assert bool(found.obstacle) is not found.reversible
    if found.reversible:
        network = Network(scheme)
        state, numbers = network.state(scheme), constant_values(scheme, 0.3)
        back = step_back(
            found, step(scheme, state, network.rates(), numbers), network.rates(), numbers
        )
        for slot, value in state.items():
            np.testing.assert_allclose(back[slot], value, rtol=1e-9, atol=1e-10)


WITH_LIMITS = [
    n for n, row in PUBLISHED.items() if row.imaginary is not None or row.real is not None
]


@pytest.mark.parametrize("name", WITH_LIMITS)
def test_the_limits_of_stability_are_the_published_ones(name):
    row, found = PUBLISHED[name], derive(LITERATURE[name]).stability
    for limit, axis in ((row.imaginary, found.imaginary_axis), (row.real, found.real_axis)):
        if limit is not None:
            assert axis.limit == pytest.approx(limit, abs=2e-2 if limit < 0.5 else 1e-4)


@pytest.mark.parametrize("name", ["etd1", "etd2rk", "lawson_euler", "lawson4"])
def test_exponential_schemes_need_no_more_than_the_decay_where_the_rest_is_weak(name):
    """The free decay is exact: with F = 0 a step multiplies by exp(-γ h), whatever h."""
    scheme = LITERATURE[name]
    for h in (0.1, 10.0):
        numbers = constant_values(scheme, h)
        one = step(scheme, Network(scheme).state(scheme), {"F": lambda y: 0 * y}, numbers)
        start = Network(scheme).state(scheme)
        for slot, value in one.items():
            np.testing.assert_allclose(value, np.exp(-DECAY * h) * start[slot], rtol=1e-12)
    at = {name: Fraction(2, 5) for name in scheme.decays} | {"h": Fraction(1, 4)}
    assert derive(scheme).stability_at(at).real_axis.limit > 1.9


ONE_STEP = [
    n
    for n in library_names()
    if not (s := library_scheme(n)).aux and s.uses_step_size and not s.decays
    and len(s.patterns) == 1 and s.patterns[0].order == 1 and s.stored_offsets("Y") == (0,)
]  # fmt: skip


def test_every_explicit_scheme_of_the_library_is_coupled_here_or_there():
    assert {f"coupled_{n}" for n in ONE_STEP} <= {*library_names(), *LITERATURE}
