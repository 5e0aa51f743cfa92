"""Schemes made by `compose`, `adjoint` and `coupled`, against written-out schemes and definitions."""

import numpy as np
import pytest
import torch

import odenet
from odenet.derive import derive, inverse_lines
from odenet.language import tree
from odenet.model.elaboration.composition import adjoint_text
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions.expr import Slot
from tests.derive.convergence import Problem
from tests.derive.numeric import Network, constant_values, read_scheme, step

ONE_UNKNOWN = "state Y\nparam K : dense\nY' = tanh(K Y)\n"
TWO_UNKNOWNS = "state Y, Z\nparam K, A : dense\nY' = tanh(K Z)\nZ' = tanh(A Y)\n"

WRITTEN_OUT = {
    "coupled(euler)": """scheme coupled_euler(λ = 0.99) {
        for Y' = F(Y)
        aux Z
        start Z[0] = Y[0]
        Y[n+1] = λ Y[n] + (1 - λ) Z[n] + h F(Z[n])
        Z[n+1] = Z[n] + h F(Y[n+1])
    }""",
    "coupled(heun)": """scheme coupled_heun(λ = 0.99) {
        for Y' = F(Y)
        aux Z
        start Z[0] = Y[0]
        k1     = F(Z[n])
        k2     = F(Z[n] + h k1)
        Y[n+1] = λ Y[n] + (1 - λ) Z[n] + h/2 (k1 + k2)
        l1     = F(Y[n+1])
        l2     = F(Y[n+1] - h l1)
        Z[n+1] = Z[n] + h/2 (l1 + l2)
    }""",
    "coupled(rk4)": """scheme coupled_rk4(λ = 0.99) {
        for Y' = F(Y)
        aux Z
        start Z[0] = Y[0]
        k1     = F(Z[n])
        k2     = F(Z[n] + h/2 k1)
        k3     = F(Z[n] + h/2 k2)
        k4     = F(Z[n] + h k3)
        Y[n+1] = λ Y[n] + (1 - λ) Z[n] + h/6 (k1 + 2 k2 + 2 k3 + k4)
        l1     = F(Y[n+1])
        l2     = F(Y[n+1] - h/2 l1)
        l3     = F(Y[n+1] - h/2 l2)
        l4     = F(Y[n+1] - h l3)
        Z[n+1] = Z[n] + h/6 (l1 + 2 l2 + 2 l3 + l4)
    }""",
    "adjoint(verlet)": """scheme adjoint_verlet {
        for Y' = F(Z), Z' = G(Y)
        Z[n+1] = Z[n] + h G(Y[n])
        Y[n+1] = Y[n] + h F(Z[n+1])
    }""",
    "compose(adjoint(verlet)(h/2), verlet(h/2))": """scheme stormer {
        for Y' = F(Z), Z' = G(Y)
        Z1     = Z[n] + h/2 G(Y[n])
        Y1     = Y[n] + h/2 F(Z1)
        Y[n+1] = Y1 + h/2 F(Z1)
        Z[n+1] = Z1 + h/2 G(Y[n+1])
    }""",
    "compose(euler(2/3 h), euler(h/3))": """scheme twice {
        for Y' = F(Y)
        Y1     = Y[n] + 2/3 h F(Y[n])
        Y[n+1] = Y1 + h/3 F(Y1)
    }""",
    "compose(coupled_euler(h/2, λ = 0.5), momenta(h/2))": """scheme mixed {
        for Y' = F(Y)
        aux Z
        start Z[0] = Y[0]
        Y1     = 0.5 Y[n] + (1 - 0.5) Z[n] + h/2 F(Z[n])
        Z1     = Z[n] + h/2 F(Y1)
        k1     = F(Z1)
        Y[n+1] = Y1 + h/2 k1
        Z[n+1] = Z1 + h/2 F(Y[n+1])
    }""",
}
# A scheme whose names, among them the stage `F`, are those of other things in its partner.
MOMENTA_SCHEME = """scheme momenta {
    for x' = f(x)
    aux v
    start v[0] = x[0]
    F      = f(v[n])
    x[n+1] = x[n] + h F
    v[n+1] = v[n] + h f(x[n+1])
}
"""


def load_scheme(text, schemes=""):
    """The scheme that is made by a text such as `coupled(euler)` of given or library schemes."""
    spec = TWO_UNKNOWNS if "verlet" in text else ONE_UNKNOWN
    return odenet.loads(f"{spec}discretise {text}(h = 0.25)\n{schemes}").model.scheme


@pytest.mark.parametrize("text", WRITTEN_OUT)
def test_a_made_scheme_is_the_one_that_is_written_out(text):
    made = load_scheme(text, MOMENTA_SCHEME if "momenta" in text else "")
    written = read_scheme(WRITTEN_OUT[text])
    if "momenta" in text:
        # Its stage F is renamed, F_ or F1, since F is a function of the other part.
        spelled = str([u.value for u in made.updates]).replace("F_", "k1").replace("F1", "k1")
        assert spelled == str([u.value for u in written.updates])
    else:
        assert (made.updates, made.starts) == (written.updates, written.starts)
        assert made.constants == written.constants


@pytest.mark.parametrize("text", WRITTEN_OUT)
def test_the_text_of_a_made_scheme_reads_back_as_the_scheme(text):
    made = load_scheme(text, MOMENTA_SCHEME if "momenta" in text else "")
    reread = read_scheme(made.text)
    assert (reread.updates, reread.starts, reread.lets) == (made.updates, made.starts, made.lets)


REVERSIBLE = [n for n in library_names() if derive(library_scheme(n)).reversible]


@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_adjoint_undoes_a_step_with_minus_h(name):
    scheme = library_scheme(name)
    adjoint = read_scheme(adjoint_text("made", scheme, inverse_lines(scheme)))
    network = Network(scheme)
    state = network.state(scheme)

    def reflect_in_time(values):
        """The stored values in the opposite order in time, with Y[n] and Y[n-1] exchanged."""
        oldest = {u: min(scheme.stored_offsets(u)) for u in scheme.unknowns}
        return {Slot(s.name, oldest[s.name] - s.offset): x for s, x in values.items()}

    after = step(scheme, state, network.rates(), constant_values(scheme, h=-0.3))
    adjoint_constants = constant_values(adjoint, h=0.3)
    undone = step(adjoint, reflect_in_time(after), network.rates(), adjoint_constants)
    for slot, value in reflect_in_time(undone).items():
        np.testing.assert_allclose(value, state[slot], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["verlet", "yoshida4", "damped_midpoint", "coupled_heun"])
def test_the_adjoint_of_the_adjoint_takes_the_same_step(name):
    scheme = library_scheme(name)
    adjoint = read_scheme(adjoint_text("once", scheme, inverse_lines(scheme)))
    adjoint_twice = read_scheme(adjoint_text("twice", adjoint, inverse_lines(adjoint)))
    network = Network(scheme)
    state, numbers = network.state(scheme), constant_values(scheme, h=0.3)
    actual, expected = (step(s, state, network.rates(), numbers) for s in (adjoint_twice, scheme))
    for slot, value in expected.items():
        np.testing.assert_allclose(actual[slot], value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["verlet", "coupled_euler", "coupled_heun"])
def test_a_scheme_and_its_adjoint_compose_to_a_symmetric_one(name):
    text = f"compose({name}(h/2), adjoint({name})(h/2))"
    spec = TWO_UNKNOWNS if name == "verlet" else ONE_UNKNOWN
    derivation = odenet.loads(f"{spec}discretise {text}(h = 0.25)").derivation
    assert derivation.symmetric and derivation.order == 2


@pytest.mark.parametrize(
    "parts", ["asynchronous_leapfrog(h/3), asynchronous_leapfrog(2/3 h)",
              "reversible_heun(h/3), reversible_heun(2/3 h)", "coupled_heun(h/3), rk2(2/3 h)"],
)  # fmt: skip
def test_steps_of_unequal_size_keep_the_order(parts):
    spec = f"{ONE_UNKNOWN}discretise compose({parts})(h = 0.1)\nscheme rk2 = coupled(heun)\n"
    scheme = odenet.loads(spec).model.scheme
    assert derive(scheme).order == 2
    assert Problem(scheme).convergence_slope((100, 200)) == pytest.approx(2, abs=0.15)


def test_the_weight_λ_of_a_coupling_may_have_another_default():
    scheme = load_scheme("mine", "scheme mine(λ = 1/2) = coupled(heun)")
    assert scheme.text.startswith("scheme mine(λ = 1/2) {")


def test_equal_lets_of_the_parts_of_a_composition_are_written_once():
    scheme = load_scheme("both", """scheme both = compose(part(h/2), part(h/2))
        scheme part(a = 1/2) {
            for Y' = F(Y)
            let b  = a^2
            let d  = b h
            Y[n+1] = Y[n] + d F(Y[n])
        }""")  # fmt: skip
    assert [name for name, _ in scheme.lets] == ["b", "d"]
    assert "d = b h/2" in scheme.text


def test_constants_of_the_whole_reach_its_parts():
    scheme = load_scheme("whole", "scheme whole(w = 1/3) = compose(heun(w h), heun((1 - w) h))")
    assert [name for name, _ in scheme.constants] == ["w"]
    assert derive(scheme).order == 2
    numbers = constant_values(scheme, h=0.5, w=0.5)
    network = Network(scheme)
    state = network.state(scheme)
    heun = library_scheme("heun")
    expected = state
    for _ in range(2):
        expected = step(heun, expected, network.rates(), constant_values(heun, h=0.25))
    actual = step(scheme, state, network.rates(), numbers)
    np.testing.assert_allclose(actual[Slot("Y", 0)], expected[Slot("Y", 0)], rtol=1e-13)


def test_the_module_of_a_composition_steps_as_plain_torch_does():
    torch.manual_seed(0)
    text = "compose(verlet(h/2), adjoint(verlet)(h/2))(h = 0.25)"
    program = odenet.loads(f"{TWO_UNKNOWNS}discretise {text}")
    flow = program.flow(channels=6, steps=4, space=0).double()
    flow.memory = "reversible"
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    out = flow(x)
    out.square().sum().backward()
    u = x.detach().clone().requires_grad_()
    K, A = (p.detach().clone().requires_grad_() for p in flow.parameters())
    y, z = u[:, :3], u[:, 3:]
    for k, a in zip(K, A, strict=True):  # h = 0.25, h/2 = 0.125
        y = y + 0.125 * torch.tanh(z @ k.T)
        z = z + 0.25 * torch.tanh(y @ a.T)
        y = y + 0.125 * torch.tanh(z @ k.T)
    torch.cat((y, z), 1).square().sum().backward()
    torch.testing.assert_close(out, torch.cat((y, z), 1), rtol=1e-12, atol=1e-13)
    for actual, expected in ((x, u), (flow.K, K), (flow.A, A)):
        torch.testing.assert_close(actual.grad, expected.grad, rtol=1e-10, atol=1e-12)


def test_a_scheme_may_be_made_by_one_statement():
    program = odenet.loads(f"{ONE_UNKNOWN}scheme mine = coupled(heun)\ndiscretise mine(h = 0.1)\n")
    assert len(program.tree.statements_of(tree.MadeScheme)) == 1
    assert program.model.scheme.name == "mine"
