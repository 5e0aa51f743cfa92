"""The weights of a single step, as arguments of a compiled function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from odenet.runtime.passes.shear import Term

# The attribute of the flow, and the parameter's name within its module; "" if it has no module.
WeightKey = tuple[str, str]


class OneStepStack:
    """One value in place of a stacked parameter: indexing by any step gives this value."""

    def __init__(self, value: Any):
        self._value = value

    def __getitem__(self, step: int) -> Any:
        return self._value

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class StepWeights:
    """The weights of one step, for a compiled function.

    Attributes:
        tensors: slices of stacked parameters, and the parameters (and buffers) of modules.
        modules: by attribute, the modules that are called with these tensors.
        differentiated: the tensors whose gradients are computed.
    """

    tensors: Mapping[WeightKey, Tensor]
    modules: Mapping[str, nn.Module]
    differentiated: frozenset[WeightKey]

    def constants(self, names: Sequence[str]) -> list[Tensor]:
        """The step's values of some constants of the scheme, as tensors."""
        return [self.tensors[name, ""] for name in names]

    def differentiated_keys(self, term: Term) -> list[WeightKey]:
        """The keys of the tensors of a term whose gradients are computed."""
        return [key for key in self.tensors if key[0] in term.params and key in self.differentiated]

    def buffers(self, term: Term) -> list[tuple[WeightKey, Tensor]]:
        """The tensors of a term's modules that are not parameters."""
        return [
            (key, tensor)
            for key, tensor in self.tensors.items()
            if key[0] in term.params
            and key[0] in self.modules
            and key[1] in dict(self.modules[key[0]].named_buffers())
        ]

    def arguments(self, term: Term, replacements: Mapping[WeightKey, Tensor]) -> list:
        """The weights that a term's right-hand side takes, with some tensors replaced."""
        tensors = {**self.tensors, **replacements}
        values = []
        for name in term.params:
            if name in self.modules:
                weights = {key: tensor for (owner, key), tensor in tensors.items() if owner == name}
                values.append(_with_tensors(self.modules[name], weights))
            else:
                values.append(tensors[name, ""])
        return values


def _with_tensors(module: nn.Module, tensors: dict[str, Tensor]):
    return lambda *inputs, **options: functional_call(module, tensors, inputs, options)
