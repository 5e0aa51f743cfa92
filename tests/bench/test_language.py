"""The language models that are compared compute the same."""

import torch

from bench.language import ROOT, TrainedModel
from odenet.runtime.layers.head import head_input, next_token_loss


def test_every_way_to_hold_activations_gives_the_same_gradients():
    ids = torch.randint(256, (1, 257))
    found = []
    for memory in ("stored", "torch checkpoint", "reversible"):
        given = {"n": 2, "w": 12}
        network = TrainedModel(
            ROOT / "specs" / "language_model.ode", given, memory
        ).network.double()
        loss = next_token_loss(*head_input(network, ids[:, :-1]), ids[:, 1:].flatten())
        found.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10)
