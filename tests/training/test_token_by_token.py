"""Text that goes on token by token, from kept keys and values, is that of whole passes."""

from itertools import islice

import pytest
import torch

import odenet
from odenet.runtime.layer_modules.kv_cache import KeyValueCache
from odenet.training.trained_runs.text_sampling import sample_tokens
from odenet.training.trained_runs.token_by_token import token_by_token_obstacle

WINDOW = 12
MAPS = "map f = rmsnorm -> attention(2, causal = yes{rope})\nmap g = rmsnorm -> glu(2)\n"
NET = "net = tokens(12, vocabulary = 7) -> embed(8) -> {before}flow(2) -> rmsnorm -> head(tied = yes)\n"
COUPLED = "state Y, Z\n" + MAPS + "Y' = f(Z)\nZ' = g(Y)\nY(0) = u\nZ(0) = u\noutput Y\n"
SINGLE = "state Y\n" + MAPS + "Y' = f(Y) + g(Y)\n"
FORMS = {
    "verlet, rope": COUPLED.format(rope=", rope = yes") + "discretise verlet(h = 1)\n" + NET.format(before=""),
    "rk4, position": SINGLE.format(rope="") + "discretise rk4(h = 1)\n" + NET.format(before="position -> "),
    "midpoint, skips": SINGLE.format(rope=", rope = yes") + "discretise midpoint(h = 1)\n"
    + NET.format(before='keep("a") -> residual(conv(1)) -> join("a", add = yes) -> '),
    "shared": SINGLE.format(rope="").replace("map f", "shared map f") + "discretise leapfrog(h = 1)\n".replace("leapfrog", "midpoint")
    + NET.format(before="position -> bn -> "),
}  # fmt: skip


def made(text):
    torch.manual_seed(1)
    program = odenet.loads(text)
    network = program.network().double().eval()
    for parameter in network.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * 0.5)
    return program, network


@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_gives_what_whole_passes_give(form):
    program, network = made(FORMS[form])
    assert token_by_token_obstacle(program.model) == ""
    numbers = torch.randint(7, (2, WINDOW))
    with torch.no_grad():
        whole = network(numbers)
    *body, head = network.children()
    past = KeyValueCache(body)
    pieces = [past.run(numbers[:, :5]), *(past.run(numbers[:, i : i + 1]) for i in range(5, WINDOW))]  # fmt: skip
    torch.testing.assert_close(head(torch.cat(pieces, 2)), whole, rtol=1e-12, atol=1e-12)
    with torch.no_grad():  # nothing is left behind
        assert torch.equal(network(numbers), whole)


@pytest.mark.parametrize("form", list(FORMS)[:2])
def test_the_same_tokens_are_drawn_beyond_the_window_too(form):
    _, network = made(FORMS[form])

    def drawn(remembers, begun):
        draw = torch.Generator().manual_seed(3)
        tokens = sample_tokens(network, begun, WINDOW, 1.0, 0, draw, remembers)
        return list(islice(tokens, 40))

    for begun in ([1, 2, 3], [5] * 20):
        assert drawn(True, begun) == drawn(False, begun)


def test_a_token_passes_once_until_the_window_is_full_and_then_half_of_it():
    _, network = made(FORMS["verlet, rope"])
    passed = []
    network[0].register_forward_pre_hook(lambda _, given: passed.append(given[0].shape[1]))
    tokens = sample_tokens(network, [1, 2, 3], WINDOW, 1.0, 0, torch.Generator(), True)
    list(islice(tokens, 18))
    assert passed == [3, *[1] * 9, 6, *[1] * 6, 6]


@pytest.mark.parametrize(
    ("change", "why"),
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
def test_what_reads_later_tokens_is_named(change, why):
    text = FORMS["verlet, rope"].replace(*change)
    if "param K" in text:
        text = text.replace("Z' = g(Y)", "Z' = g(Y) + tanh(K Y)")
    if "dopri5" in text:
        text = FORMS["rk4, position"].replace(
            "rk4(h = 1)", "dopri5(T = 1, rtol = 1e-3, atol = 1e-3)"
        )
    assert why in token_by_token_obstacle(odenet.loads(text).model)
