"""The flow of a transformer and its layers against plain torch with torch's own attention."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet
from odenet.runtime import Attention, Tokens
from odenet.testing import assert_gradients

SPEC = Path(__file__).parents[2] / "specs" / "transformer.ode"
CAUSAL = SPEC.read_text().replace("attention(4)", "attention(4, causal = yes)")
HEADS = 4


def tokens_first(x):
    """A feature map (batch, c, …) as (tokens, batch, c), as torch's attention takes it."""
    return x.flatten(2).permute(2, 0, 1)


def attend(layers, x, is_causal):
    """The map `attend` of the spec: a layer norm and attention."""
    norm, attention = (layer.inner for layer in layers)
    tokens = F.layer_norm(tokens_first(x), norm.normalized_shape, norm.weight, norm.bias)
    n = len(tokens)
    is_future = torch.ones(n, n).triu(1).bool() if is_causal else None
    output, _ = F.multi_head_attention_forward(
        tokens, tokens, tokens, tokens.shape[2], HEADS,
        attention.project.weight, attention.project.bias, None, None, False, 0.0,
        attention.join.weight, attention.join.bias, attn_mask=is_future,
    )  # fmt: skip
    return output.permute(1, 2, 0).reshape(x.shape)


def digest(layers, x):
    """The map `digest` of the spec: a layer norm and two linear layers with a GELU in between."""
    norm, (wider, _, back) = (layer.inner for layer in layers)
    tokens = F.layer_norm(tokens_first(x), norm.normalized_shape, norm.weight, norm.bias)
    hidden = tokens @ wider.weight.T + wider.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return (hidden @ back.weight.T + back.bias).permute(1, 2, 0).reshape(x.shape)


def handwritten_flow(flow, u, h, is_causal):
    """Kitaev et al. 2020, Eq. 9, with a step size."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(flow.steps):
        Y = Y + h * attend(flow.attend[j], Z, is_causal)
        Z = Z + h * digest(flow.digest[j], Y)
    return torch.cat([Y, Z], dim=1)


@given(
    channels=st.sampled_from([8, 16]),
    size=st.sampled_from([(5,), (3, 2), (2, 2, 2)]),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_outputs_and_gradients_are_those_of_torchs_attention(channels, size, causal, seed):
    torch.manual_seed(seed)
    text = CAUSAL if causal else SPEC.read_text()
    flow = odenet.loads(text).flow(channels, 3, space=len(size), h=0.5).double()
    u = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
    output, expected = flow(u), handwritten_flow(flow, u, 0.5, causal)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    inputs = [u, *flow.parameters()]
    pairs = zip(
        torch.autograd.grad(output.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    )
    for actual, reference in pairs:
        torch.testing.assert_close(actual, reference, rtol=1e-9, atol=1e-9)


def test_steps_are_undone_and_gradients_need_no_stored_activations():
    torch.manual_seed(0)
    flow = odenet.load(SPEC).flow(16, 3).double()
    u = torch.randn(2, 16, 3, 3, dtype=torch.float64, requires_grad=True)
    assert_gradients(flow, u)
    start = flow.initial(u)
    with torch.no_grad():
        for rebuilt, state in zip(flow.inverse(flow.evolve(start)), start, strict=True):
            torch.testing.assert_close(rebuilt, state, rtol=1e-10, atol=1e-10)


def test_a_causal_stack_never_looks_ahead():
    torch.manual_seed(0)
    flow = odenet.loads(CAUSAL).flow(8, 2, space=1)
    u = torch.randn(1, 8, 6)
    other_ending = u.clone()
    other_ending[..., 4:] = torch.randn(1, 8, 2)
    torch.testing.assert_close(flow(u)[..., :4], flow(other_ending)[..., :4])
    assert not torch.allclose(flow(u)[..., 4:], flow(other_ending)[..., 4:])


@pytest.mark.parametrize("shape", [(3, 8), (3, 8, 5), (3, 8, 2, 4)])
def test_a_vector_is_a_single_token_and_every_shape_is_kept(shape):
    layer = Tokens(Attention(8, 2))
    x = torch.randn(shape)
    assert layer(x).shape == x.shape
    if len(shape) == 2:
        torch.testing.assert_close(layer(x), layer(x[..., None])[..., 0])
