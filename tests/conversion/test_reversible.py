"""`odenet.reversible`: flows over a user's own modules.

Gradients without stored activations are compared with those of plain autograd; values with the
iteration of the scheme, written out.
"""

import copy
import warnings

import pytest
import torch
from torch import nn

from odenet.conversion import reversible
from odenet.runtime import Tokens
from tests.conversion.oracles import Block


def blocks(count, **options):
    torch.manual_seed(0)
    return [Block(4, **options).double() for _ in range(count)]


def feature_maps():
    return torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def gradients(flow, x, *args, **kwargs):
    x = x.clone().requires_grad_()
    loss = flow(x, *args, **kwargs).square().sum()
    return torch.autograd.grad(loss, [x, *flow.parameters()])


class SelfAttention(nn.Module):
    """Self-attention, which returns a tuple of its output and the attention weights."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)


def assert_gradients_match_stored(flow, x, *args, **kwargs):
    """Compares the gradients of a flow with those that it has with stored activations."""
    stored = copy.deepcopy(flow)
    stored.memory = "stored"
    actual, expected = (gradients(f, x, *args, **kwargs) for f in (flow, stored))
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_momentum_over_modules_is_the_paper_s_iteration():
    f, x = blocks(4, norm=False), feature_maps()
    flow = reversible(f, gamma=0.7)
    flow.memory = "stored"
    y, v = x, torch.zeros_like(x)
    for block in f:
        v = 0.7 * v + (1 - 0.7) * block(y)
        y = y + v
    assert torch.equal(flow(x), y)


@pytest.mark.parametrize("scheme", ["momentum", "midpoint", "leapfrog"])
def test_every_scheme_of_one_map_trains_without_stored_activations(scheme):
    flow = reversible(blocks(5), scheme)
    assert flow.memory == "reversible"
    assert_gradients_match_stored(flow, feature_maps())


@pytest.mark.parametrize("scheme", ["euler", "heun", "rk4"])
def test_schemes_without_inverse_store_activations(scheme):
    with pytest.warns(UserWarning, match="the flow is not reversible, and stores activations"):
        flow = reversible(blocks(2, norm=False), scheme, h=0.5)
    assert flow.memory == "stored"
    assert_gradients_match_stored(flow, feature_maps())


def test_verlet_over_pairs_is_a_revnet():
    torch.manual_seed(0)
    pairs = [(Block(2).double(), Block(2).double()) for _ in range(3)]
    flow = reversible(pairs, "verlet")
    x = feature_maps()
    y, z = x.chunk(2, dim=1)
    for f, g in copy.deepcopy(pairs):
        y = y + f(z)
        z = z + g(y)
    torch.testing.assert_close(flow(x), torch.cat((y, z), dim=1))
    assert_gradients_match_stored(flow, x)
    torch.testing.assert_close(flow.eval().inverse(flow(x)), x)


def test_a_residual_block_contributes_what_it_adds():
    class Residual(Block):
        def forward(self, x):
            return x + super().forward(x)

    torch.manual_seed(0)
    f = [Residual(4, norm=False).double() for _ in range(3)]
    x = feature_maps()
    expected = x
    for block in f:
        expected = block(expected)
    with pytest.warns(UserWarning, match="momentum has an inverse only where γ ≠ 0"):
        flow = reversible(f, residual=True, gamma=0)
    torch.testing.assert_close(flow(x), expected)


def test_gamma_zero_stores_activations_and_says_why():
    with pytest.warns(UserWarning, match="momentum has an inverse only where γ ≠ 0"):
        flow = reversible(blocks(2), gamma=0)
    assert flow.memory == "stored"
    with pytest.raises(ValueError, match="inverse only where γ ≠ 0"):
        flow.memory = "reversible"


@pytest.mark.parametrize("v0", ["f", "module"])
@pytest.mark.parametrize("scheme", ["momentum", "midpoint"])
def test_the_initial_speed_is_f_or_a_module_of_the_input(scheme, v0):
    f, x = blocks(2, norm=False), feature_maps()
    v0_module = Block(4, norm=False).double() if v0 == "module" else "f"
    initial_speed = v0_module(x) if v0 == "module" else f[0](x)
    flow = reversible(f, scheme, v0=v0_module)
    if scheme == "momentum":
        v = 0.9 * initial_speed + 0.1 * f[0](x)
        y = x + v
        expected = y + 0.9 * v + 0.1 * f[1](y)
    else:
        y = x - initial_speed + 2 * f[0](x)
        expected = x + 2 * f[1](y)
    torch.testing.assert_close(flow(x), expected)
    assert_gradients_match_stored(flow, x)


def test_a_flow_of_modules_takes_tokens():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6)).double() for _ in range(3)]
    assert_gradients_match_stored(reversible(layers), torch.randn(2, 7, 6).double())


def test_further_inputs_go_to_every_module_in_both_passes():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, gate, scale=1.0):
            return torch.tanh(self.linear(x)) * gate * scale

    torch.manual_seed(0)
    flow = reversible([Gated().double() for _ in range(3)])
    x, gate = torch.randn(2, 4).double(), torch.rand(2, 4).double()
    assert_gradients_match_stored(flow, x, gate, scale=0.5)
    assert flow.drift is not None


def test_dropout_is_replayed_in_the_backward():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)).double() for _ in range(4)]
    flow = reversible(layers)
    x = torch.randn(3, 6).double()
    torch.manual_seed(5)
    actual = gradients(flow, x)
    flow.memory = "stored"
    torch.manual_seed(5)
    torch.testing.assert_close(actual, gradients(flow, x))


def test_exact_arithmetic_gives_right_gradients_after_200_steps():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(200)]
    flow = reversible(layers, exact=True)
    x = torch.randn(4, 8)
    actual = gradients(flow, x)
    assert flow.drift == 0
    reference = copy.deepcopy(flow).double()
    reference.exact, reference.memory = False, "stored"
    for a, b in zip(actual, gradients(reference, x.double()), strict=True):
        assert torch.linalg.vector_norm(a.double() - b) < 1e-3 * torch.linalg.vector_norm(b)


def test_a_depth_that_is_undone_too_coarsely_is_warned_of_unless_it_is_exact():
    layers = [nn.Linear(2, 2) for _ in range(60)]
    with pytest.warns(
        UserWarning, match="60 steps are undone too coarsely to train by.*exact=True"
    ):
        reversible(layers, gamma=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reversible(layers, gamma=0.5, exact=True).exact
        reversible(layers, gamma=0.99)


def test_a_module_that_changes_the_shape_is_refused():
    flow = reversible([nn.Conv2d(4, 6, 3).double()])
    with pytest.raises(ValueError, match=r"Conv2d makes \(2, 6, 3, 3\) of \(2, 4, 5, 5\)"):
        flow(feature_maps())


def test_a_module_that_changes_its_input_in_place_is_refused():
    flow = reversible([nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1).double())])
    with pytest.raises(ValueError, match="changes its input in place"):
        flow(feature_maps())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: reversible([]), "at least one block"),
        (lambda f: reversible(f, "momentun"), "no scheme 'momentun'; known:"),
        (lambda f: reversible(f, "verlet"), "a pair of modules"),
        (lambda f: reversible([(f[0], f[0])]), "one module per step"),
        (lambda f: reversible(f, h=0.1), "momentum has no constant h: it takes gamma"),
        (lambda f: reversible(f, "euler", v0="f"), "euler has no initial speed"),
        (lambda f: reversible(f, v0="g"), "v0 is 0"),
    ],
)
def test_unsuitable_arguments_are_refused_with_the_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call(blocks(2))


def token_layer_pairs(count=3, c=6):
    torch.manual_seed(0)
    return [
        (
            nn.Sequential(nn.LayerNorm(c), nn.Linear(c, c)).double(),
            nn.Sequential(nn.LayerNorm(c), nn.Linear(c, c), nn.GELU()).double(),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("dim", [None, -1, 2])
def test_a_pair_splits_tokens_along_their_channels(dim):
    pairs = token_layer_pairs()
    flow = reversible(pairs, "verlet", dim=dim)
    x = torch.randn(2, 7, 12).double()
    y, z = x.chunk(2, dim=-1)
    for f, g in pairs:
        y = y + f(z)
        z = z + g(y)
    torch.testing.assert_close(flow(x), torch.cat((y, z), dim=-1))
    assert flow(x).is_contiguous()
    assert_gradients_match_stored(flow, x)
    torch.testing.assert_close(flow.eval().inverse(flow(x)), x)


def test_attention_splits_the_last_axis_and_layers_of_feature_maps_the_second():
    flow = reversible([(SelfAttention().double(), nn.Linear(4, 4).double())], "verlet")
    assert flow(torch.randn(2, 3, 8).double()).shape == (2, 3, 8)
    flow = reversible([(Tokens(nn.Linear(4, 4)), nn.Conv1d(4, 4, 1))], "verlet")
    assert flow(torch.randn(2, 8, 3)).shape == (2, 8, 3)


@pytest.mark.parametrize(
    "pair",
    [
        lambda: (nn.Tanh(), nn.Tanh()),
        lambda: (nn.Linear(4, 4), nn.Conv1d(4, 4, 1)),
    ],
    ids=["layers for any axis", "layers for different axes"],
)
def test_an_axis_that_does_not_follow_from_the_layers_is_asked_for(pair):
    f, g = pair()
    with pytest.raises(ValueError, match=r"which axis of \(2, 8, 4\).*dim=-1 for tokens"):
        reversible([(f, g)], "verlet")(torch.randn(2, 8, 4))
    flow = reversible([(nn.Tanh(), nn.Tanh())], "verlet", dim=1)
    assert flow(torch.randn(2, 8, 4)).shape == (2, 8, 4)
    vectors = reversible([(nn.Tanh(), nn.Tanh())], "verlet")
    assert vectors(torch.randn(2, 8)).shape == (2, 8)


def test_an_axis_that_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="momentum does not split its input"):
        reversible([nn.Tanh()], dim=-1)
    with pytest.raises(ValueError, match=r"dim=3 is not an axis of channels of \(2, 8, 4\)"):
        reversible(token_layer_pairs(), "verlet", dim=3)(torch.randn(2, 8, 4))


def test_the_first_result_of_a_tuple_is_the_rate_and_named_losses_are_collected():
    class Balanced(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y, {"balance": y.square().mean()}

    class Named(nn.Linear):
        def forward(self, x):
            return {"hidden": super().forward(x)}

    torch.manual_seed(0)
    x = torch.randn(2, 3, 4).double()
    assert_gradients_match_stored(reversible([SelfAttention().double() for _ in range(2)]), x)
    flow = reversible([Balanced(4, 4).double() for _ in range(2)])
    flow(x).sum().backward()
    assert flow.collected["balance"] > 0
    with pytest.raises(ValueError, match="Named makes a dict of"):
        reversible([Named(4, 4).double()])(x)


def test_lazy_modules_are_initialised_by_the_first_call():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.LazyConv2d(4, 1), nn.LazyBatchNorm2d()) for _ in range(2)]
    flow = reversible(layers).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = flow(feature_maps())
    assert [layer[1].num_batches_tracked.item() for layer in layers] == [1, 1]
    out.sum().backward()
    assert all(p.grad is not None for p in flow.parameters())
    assert_gradients_match_stored(flow, feature_maps())


# 10**6: a budget in bytes
@pytest.mark.parametrize("memory", ["reversible", "stored", "checkpoint", 10**6])
def test_a_training_step_on_the_meta_device_gives_gradients_without_values(memory):
    with torch.device("meta"):
        flow = reversible([Block(4) for _ in range(3)])
        flow.memory = memory
        x = torch.randn(2, 4, 5, 5)
        flow(x).sum().backward()
    assert all(p.grad.is_meta for p in flow.parameters())
