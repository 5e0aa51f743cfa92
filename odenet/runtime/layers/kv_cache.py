"""What attention keeps of earlier tokens, so that a text goes on without computing them again.

The keys and values of a token depend on it and those before it alone where every attention is
causal and nothing else mixes tokens. A flow may evaluate one attention several times in a step,
with values of its own each time: what is kept is numbered by evaluations, not by modules.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from odenet.runtime.layers.skips import through
from odenet.runtime.layers.tokens import Attention, Position


class Past:
    """Layers of a language model, and the keys and values of the tokens that went through them.

    Args:
        layers: in their order; in evaluation mode, every attention causal.

    Attributes:
        count: of the tokens that went through.
    """

    def __init__(self, layers: Iterable[nn.Module]):
        self.count = 0
        self._layers = list(layers)
        parts = [part for layer in self._layers for part in layer.modules()]
        self._readers = [part for part in parts if isinstance(part, Attention | Position)]
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._evaluation = 0

    @torch.no_grad()
    def follow(self, numbers: Tensor) -> Tensor:
        """What the layers give for the tokens that come next.

        Args:
            numbers: ``(batch, tokens)``: any number of tokens at first, then one at a time.
        """
        self._evaluation = 0
        for reader in self._readers:
            reader.past = self
        try:
            found = through(self._layers, numbers)
        finally:
            for reader in self._readers:
                reader.past = None
        self.count += numbers.shape[1]
        return found

    def with_earlier(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values of all tokens so far, from those of the new ones.

        Args:
            keys: ``(batch, tokens, heads, d)``.
            values: likewise.
        """
        if not self.count:
            self._kept.append((keys, values))
        else:
            earlier = self._kept[self._evaluation]
            keys, values = (
                torch.cat(pair, 1) for pair in zip(earlier, (keys, values), strict=True)
            )
            self._kept[self._evaluation] = keys, values
        self._evaluation += 1
        return keys, values
