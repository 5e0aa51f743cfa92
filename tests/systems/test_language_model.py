"""A small language model: loss and gradients against plain torch, copies, and memory layout."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import odenet
from odenet.runtime.layer_modules import head as head_module
from odenet.runtime.layer_modules.head import head_input, next_token_loss
from odenet.training.flows import flows

VOCABULARY, TOKENS, HEADS = 11, 6, 2
LAYERS = """\
map attend = rmsnorm -> attention(2, causal = yes, rope = yes)
map digest = rmsnorm -> glu(8/3)
"""
COUPLED = f"""\
state Y, Z
{LAYERS}
Y' = attend(Z)
Z' = digest(Y)
Y(0) = u
Z(0) = u
output 1/2 Y + 1/2 Z
discretise verlet(h = 1)
"""
ONE_STATE = f"""\
state x
{LAYERS}
x' = attend(x) + digest(x)
discretise SCHEME(h = 1)
"""
NET = "net = tokens(6, vocabulary = 11) -> embed(8) -> position -> flow(3) -> rmsnorm -> head"


# --- the same model in plain torch; sequences are (batch, tokens, channels) -----------------------


def rms_norm(x, gain):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * gain


def rotate(x):
    """Rotary positions (Su et al. 2021, Eq. 34) of a head (batch, tokens, d), as complex numbers."""
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half], x[..., half:])
    positions = torch.arange(x.shape[1], dtype=torch.float64)
    frequencies = torch.tensor([10000 ** (-i / half) for i in range(half)], dtype=torch.float64)
    rotated = pairs * torch.exp(1j * torch.outer(positions, frequencies))
    return torch.cat((rotated.real, rotated.imag), -1)


def attend(layers, x):
    (norm, attention) = (layer.inner for layer in layers)
    x = rms_norm(x, norm.weight)
    outputs = []
    q, k, v = (
        x @ w.T + b
        for w, b in zip(
            attention.project.weight.chunk(3), attention.project.bias.chunk(3), strict=True
        )
    )
    is_future = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
    for head in range(HEADS):
        size = x.shape[-1] // HEADS
        entries = slice(head * size, (head + 1) * size)
        scores = rotate(q[..., entries]) @ rotate(k[..., entries]).mT / size**0.5
        outputs.append(scores.masked_fill(is_future, -torch.inf).softmax(-1) @ v[..., entries])
    return torch.cat(outputs, -1) @ attention.join.weight.T + attention.join.bias


def digest(layers, x):
    (norm, glu) = (layer.inner for layer in layers)
    x = rms_norm(x, norm.weight)
    gate, value = (x @ w.T for w in glu.wider.weight.chunk(2))
    return (gate * torch.sigmoid(gate) * value) @ glu.back.weight.T


def coupled(flow, u):
    Y, Z = u, u
    for a, d in zip(flow.attend, flow.digest, strict=True):
        Y = Y + attend(a, Z)
        Z = Z + digest(d, Y)
    return (Y + Z) / 2


def euler(flow, x):
    for a, d in zip(flow.attend, flow.digest, strict=True):
        x = x + attend(a, x) + digest(d, x)
    return x


def midpoint(flow, x):
    previous = torch.zeros_like(x)
    for a, d in zip(flow.attend, flow.digest, strict=True):
        previous, x = x, previous + 2 * (attend(a, x) + digest(d, x))
    return x


def loss_by_hand(network, ids, handwritten_flow, is_tied):
    embed, position, flow, norm, head = network
    x = embed.weight[ids[:, :-1]] + position.weight
    x = rms_norm(handwritten_flow(flow, x), norm.inner.weight)
    scores = x @ (embed.weight if is_tied else head.weight).T
    target_scores = scores.gather(-1, ids[:, 1:, None])[..., 0]
    return (torch.logsumexp(scores, -1) - target_scores).mean()


def chunked_loss(network, ids, smoothing=0.0):
    return next_token_loss(*head_input(network, ids[:, :-1]), ids[:, 1:].flatten(), smoothing)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("dynamics", "handwritten_flow"),
    [
        (COUPLED, coupled),
        (ONE_STATE.replace("SCHEME", "euler"), euler),
        (ONE_STATE.replace("SCHEME", "midpoint"), midpoint),
    ],
)
def test_loss_and_gradients_are_those_of_plain_autograd(
    dynamics, handwritten_flow, tied, monkeypatch
):
    # A part then has at most as many scores as there are numbers in the input of the head: 12
    # tokens of 8 channels, with 11 scores each, are taken in parts of 8 and 4 tokens.
    monkeypatch.setattr(head_module, "LEAST_LIMIT", 1)
    torch.manual_seed(0)
    network = odenet.loads(dynamics + NET + ("(tied = yes)" if tied else "")).network().double()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    ids = torch.randint(VOCABULARY, (2, TOKENS + 1))
    expected = loss_by_hand(network, ids, handwritten_flow, tied)
    weights = list(network.parameters())
    expected_gradients = torch.autograd.grad(expected, weights)
    unchunked = F.cross_entropy(network(ids[:, :-1]), ids[:, 1:])
    for loss in (unchunked, chunked_loss(network, ids)):
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
        for actual, reference in zip(
            torch.autograd.grad(loss, weights), expected_gradients, strict=True
        ):
            torch.testing.assert_close(actual, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("least_limit", [1, 10**6])
def test_a_loss_in_parts_is_the_loss_of_all_scores(least_limit, smoothing, monkeypatch):
    monkeypatch.setattr(head_module, "LEAST_LIMIT", least_limit)
    torch.manual_seed(1)
    x = torch.randn(23, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(17, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(17, (23,))
    expected = F.cross_entropy(x @ weight.T, targets, label_smoothing=smoothing)
    loss = next_token_loss(x, weight, targets, smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for actual, reference in zip(
        torch.autograd.grad(3 * loss, (x, weight)),  # a gradient of 3 comes in, not 1
        torch.autograd.grad(3 * expected, (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(actual, reference, rtol=1e-11, atol=1e-12)


def test_the_scores_of_all_tokens_are_never_in_memory_at_once():
    class LargestTensor(TorchDispatchMode):
        nbytes = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.nbytes = max(self.nbytes, result.untyped_storage().nbytes())
            return result

    x, weight = torch.randn(4096, 8, requires_grad=True), torch.randn(5000, 8, requires_grad=True)
    with LargestTensor() as largest:
        next_token_loss(x, weight, torch.zeros(4096, dtype=torch.long)).backward()
    all_scores = 4 * 4096 * 5000  # in bytes
    assert largest.nbytes <= 4 * head_module.LEAST_LIMIT < all_scores / 50


def test_under_autocast_scores_are_multiplied_in_16_bits_and_summed_in_32():
    torch.manual_seed(2)
    x, weight = torch.randn(40, 16, requires_grad=True), torch.randn(30, 16, requires_grad=True)
    targets = torch.randint(30, (40,))
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(x, weight, targets)
    scores = x.bfloat16() @ weight.bfloat16().T
    expected = F.cross_entropy(scores.float(), targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    for actual, reference in zip(
        torch.autograd.grad(loss, (x, weight)),
        torch.autograd.grad(expected, (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(actual, reference, rtol=0.02, atol=1e-4)


# --- memory layout of tokens ---------------------------------------------------------------------


class CopyCounter(TorchDispatchMode):
    """Counts operations that only copy values."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (
            torch.ops.aten.clone.default,
            torch.ops.aten.copy_.default,
            torch.ops.aten._to_copy.default,
        ):
            self.count[str(function)] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("memory", ["reversible", "stored", "checkpoint"])
@pytest.mark.parametrize(
    "layers", [LAYERS, LAYERS.replace("rms", "layer").replace("glu(8/3)", "mlp")]
)
def test_no_layer_copies_a_state(memory, layers):
    """Five steps make as many copies as two steps."""
    text = COUPLED.replace(LAYERS, layers) + NET.replace("flow(3)", "flow(N)")
    ids = torch.randint(VOCABULARY, (2, TOKENS + 1))
    counts = []
    for steps in (2, 5):
        network = odenet.loads(text.replace("flow(N)", f"flow({steps})")).network()
        for flow in flows(network).values():
            flow.memory = memory
        chunked_loss(network, ids).backward()  # the first pass measures, and makes replicas
        with CopyCounter() as copies:
            chunked_loss(network, ids).backward()
        counts.append(copies.count.total())
    assert counts[0] == counts[1]


def test_states_have_the_memory_layout_that_attention_reads():
    network = odenet.loads(COUPLED + NET).network()
    embed, position, flow, *_ = network
    u = position(embed(torch.randint(VOCABULARY, (2, TOKENS))))
    for state in flow.trajectory(u):
        assert all(part.mT.is_contiguous() for part in state)
    assert flow(u).mT.is_contiguous()
