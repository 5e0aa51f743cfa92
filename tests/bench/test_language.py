"""Language models with stored, checkpointed and rebuilt activations compute the same gradients."""

import torch

from bench.language import ROOT, TrainableModel
from odenet.runtime.layer_modules.head import head_input, next_token_loss


def test_every_way_to_hold_activations_gives_the_same_gradients():
    ids = torch.randint(256, (1, 257))  # 256 tokens, and for each the next one
    results = []
    for memory in ("stored", "torch checkpoint", "reversible"):
        spec, sizes = ROOT / "specs" / "language_model.ode", {"n": 2, "w": 12}  # steps, channels
        network = TrainableModel(spec, sizes, memory).network.double()
        loss = next_token_loss(*head_input(network, ids[:, :-1]), ids[:, 1:].flatten())
        results.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
