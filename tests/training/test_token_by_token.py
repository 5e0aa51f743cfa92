"""Text generated token by token, from cached keys and values, against full forward passes."""

from itertools import islice

import pytest
import torch

import odenet
from odenet.runtime.layer_modules.kv_cache import KeyValueCache
from odenet.training.trained_runs.text_sampling import sample_tokens
from odenet.training.trained_runs.token_by_token import token_by_token_obstacle

WINDOW = 12
MAP_LINES = "map f = rmsnorm -> attention(2, causal = yes{rope})\nmap g = rmsnorm -> glu(2)\n"
NET_LINE = "net = tokens(12, vocabulary = 7) -> embed(8) -> {before}flow(2) -> rmsnorm -> head(tied = yes)\n"
COUPLED_STATES = "state Y, Z\n" + MAP_LINES + "Y' = f(Z)\nZ' = g(Y)\nY(0) = u\nZ(0) = u\noutput Y\n"
SINGLE_STATE = "state Y\n" + MAP_LINES + "Y' = f(Y) + g(Y)\n"
SPECS = {
    "verlet, rope": COUPLED_STATES.format(rope=", rope = yes") + "discretise verlet(h = 1)\n" + NET_LINE.format(before=""),
    "rk4, position": SINGLE_STATE.format(rope="") + "discretise rk4(h = 1)\n" + NET_LINE.format(before="position -> "),
    "midpoint, skips": SINGLE_STATE.format(rope=", rope = yes") + "discretise midpoint(h = 1)\n"
    + NET_LINE.format(before='keep("a") -> residual(conv(1)) -> join("a", add = yes) -> '),
    "midpoint, shared": SINGLE_STATE.format(rope="").replace("map f", "shared map f") + "discretise midpoint(h = 1)\n"
    + NET_LINE.format(before="position -> bn -> "),
}  # fmt: skip


def random_network(text):
    """The program of a spec, and its network in double precision with random weights."""
    torch.manual_seed(1)
    program = odenet.loads(text)
    network = program.network().double().eval()
    for parameter in network.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * 0.5)
    return program, network


@pytest.mark.parametrize("name", SPECS)
def test_cached_keys_and_values_give_what_full_passes_give(name):
    program, network = random_network(SPECS[name])
    assert token_by_token_obstacle(program.model) == ""
    tokens = torch.randint(7, (2, WINDOW))
    with torch.no_grad():
        full_pass = network(tokens)
    *body, head = network.children()
    cache = KeyValueCache(body)
    pieces = [cache.run(tokens[:, :5]), *(cache.run(tokens[:, i : i + 1]) for i in range(5, WINDOW))]  # fmt: skip
    torch.testing.assert_close(head(torch.cat(pieces, 2)), full_pass, rtol=1e-12, atol=1e-12)
    with torch.no_grad():  # the cache has left nothing in the network
        assert torch.equal(network(tokens), full_pass)


@pytest.mark.parametrize("name", ["verlet, rope", "rk4, position"])
def test_the_same_tokens_are_drawn_with_and_without_the_cache_also_beyond_the_window(name):
    _, network = random_network(SPECS[name])

    def sampled(prompt, uses_cache):
        generator = torch.Generator().manual_seed(3)
        tokens = sample_tokens(
            network,
            prompt,
            WINDOW,
            temperature=1.0,
            top=0,
            generator=generator,
            use_cache=uses_cache,
        )
        return list(islice(tokens, 40))

    for prompt in ([1, 2, 3], [5] * 20):
        assert sampled(prompt, uses_cache=True) == sampled(prompt, uses_cache=False)


def test_a_pass_reads_one_token_or_half_a_window_whenever_the_window_is_full():
    _, network = random_network(SPECS["verlet, rope"])
    pass_lengths = []
    network[0].register_forward_pre_hook(lambda _, inputs: pass_lengths.append(inputs[0].shape[1]))
    tokens = sample_tokens(
        network, [1, 2, 3], WINDOW, temperature=1.0, top=0, generator=torch.Generator()
    )
    list(islice(tokens, 18))
    # The prompt; 9 tokens one by one, until the window of 12 is full; its last half in one pass;
    # 6 more tokens, until it is full again; its last half.
    assert pass_lengths == [3, *[1] * 9, 6, *[1] * 6, 6]


@pytest.mark.parametrize(
    ("replacement", "obstacle"),
    [
        (("causal = yes", "causal = no"), "attention reads several tokens"),
        (("rmsnorm -> glu(2)", "rmsnorm -> conv(3)"), "conv reads several tokens"),
        (("rmsnorm -> glu(2)", "gn(2) -> glu(2)"), "gn reads several tokens"),
        (("rmsnorm -> glu(2)", "given"), "nothing is known of `g`"),
        (("embed(8)", "embed(8) -> upsample(2) -> pool(2)"), "upsample changes how many"),
        (("state Y, Z\n", "state Y, Z\nparam K : conv(3)\n"), "`K` reads several tokens"),
        (("verlet(h = 1)", "dopri5(T = 1)"), "solved to a tolerance"),
    ],
)
def test_what_prevents_passes_of_single_tokens_is_named(replacement, obstacle):
    text = SPECS["verlet, rope"].replace(*replacement)
    if "param K" in text:
        text = text.replace("Z' = g(Y)", "Z' = g(Y) + tanh(K Y)")
    if "dopri5" in text:
        text = SPECS["rk4, position"].replace(
            "rk4(h = 1)", "dopri5(T = 1, rtol = 1e-3, atol = 1e-3)"
        )
    assert obstacle in token_by_token_obstacle(odenet.loads(text).model)
