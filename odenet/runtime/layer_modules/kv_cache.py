"""The keys and values of past tokens, kept while a language model generates a text.

They depend on a token and the tokens before it only, if every attention is causal and nothing else
mixes tokens. A flow may evaluate one attention several times in a step, with different keys and
values: so the entries are numbered by evaluation, not by module.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from odenet.runtime.layer_modules.skips import run_layers
from odenet.runtime.layer_modules.tokens import Attention, Position


class KeyValueCache:
    """Runs the layers of a language model token by token; keeps the keys and values of past ones.

    Args:
        layers: the layers in their order, in evaluation mode, with causal attention only.

    Attributes:
        length: number of tokens so far.
    """

    def __init__(self, layers: Iterable[nn.Module]):
        self.length = 0
        self._layers = list(layers)
        modules = [module for layer in self._layers for module in layer.modules()]
        self._cached_layers = [m for m in modules if isinstance(m, Attention | Position)]
        self._entries: list[tuple[Tensor, Tensor]] = []
        self._evaluation_index = 0

    @torch.no_grad()
    def run(self, tokens: Tensor) -> Tensor:
        """The output of the layers for the tokens that come next.

        Args:
            tokens: ``(batch, tokens)``; any number of them in the first call, then one at a time.
        """
        self._evaluation_index = 0
        for layer in self._cached_layers:
            layer.cache = self
        try:
            outputs = run_layers(self._layers, tokens)
        finally:
            for layer in self._cached_layers:
                layer.cache = None
        self.length += tokens.shape[1]
        return outputs

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the keys and values of new tokens; returns those of all tokens so far.

        Args:
            keys: ``(batch, tokens, heads, d)``.
            values: a tensor of the same shape.
        """
        if not self.length:
            self._entries.append((keys, values))
        else:
            past = self._entries[self._evaluation_index]
            keys, values = (torch.cat(pair, 1) for pair in zip(past, (keys, values), strict=True))
            self._entries[self._evaluation_index] = keys, values
        self._evaluation_index += 1
        return keys, values
