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

# Other numbers of steps where, with those of STEPS, errors are rounding or do not fall as h^p yet.
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
        # with few steps errors of coupled_dopri5 fall a little faster than h^5; with more, they are
        # soon those of the reference solution
        assert slope == pytest.approx(row.order, abs=0.6 if name == "coupled_dopri5" else 0.2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_reversibility_and_symmetry_are_the_published_ones(name):
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
            # small limits are printed with two digits
            assert axis.limit == pytest.approx(limit, abs=2e-2 if limit < 0.5 else 1e-4)


@pytest.mark.parametrize("name", ["etd1", "etd2rk", "lawson_euler", "lawson4"])
def test_exponential_schemes_solve_the_decay_exactly(name):
    """With F = 0 a step multiplies by exp(-γ h), however large h is."""
    scheme = LITERATURE[name]
    for h in (0.1, 10.0):
        numbers = constant_values(scheme, h)
        one = step(scheme, Network(scheme).state(scheme), {"F": lambda y: 0 * y}, numbers)
        start = Network(scheme).state(scheme)
        for slot, value in one.items():
            np.testing.assert_allclose(value, np.exp(-DECAY * h) * start[slot], rtol=1e-12)
    at = {name: Fraction(2, 5) for name in scheme.decays} | {"h": Fraction(1, 4)}
    limit = derive(scheme).stability_at(at).real_axis.limit
    assert limit > 1.9  # about 2, Euler's limit of hμ, or more; μ is that of F, without the decay


ONE_STEP_SCHEMES = [
    n
    for n in library_names()
    if not (s := library_scheme(n)).aux and s.uses_step_size and not s.decays
    and len(s.patterns) == 1 and s.patterns[0].order == 1 and s.stored_offsets("Y") == (0,)
]  # fmt: skip


def test_every_one_step_scheme_has_a_coupled_form_in_the_library_or_in_these_tests():
    assert {f"coupled_{n}" for n in ONE_STEP_SCHEMES} <= {*library_names(), *LITERATURE}
