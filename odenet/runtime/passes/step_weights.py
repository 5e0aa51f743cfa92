"""The learned values of a single step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from odenet.runtime.passes.shear import Term

Key = tuple[str, str]  # an attribute of the flow, and within a module the name of its parameter


class OneStep:
    """What an attribute holds for one step, in the place of a stack of which any step is taken."""

    def __init__(self, value: Any):
        self._value = value

    def __getitem__(self, step: int) -> Any:
        return self._value

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class StepWeights:
    """The learned values of one step, for a compiled function.

    Attributes:
        tensors: slices of stacks, and the parameters (and buffers) of modules.
        modules: what the modules' tensors are put into.
        wanted: which tensors to differentiate by.
    """

    tensors: Mapping[Key, Tensor]
    modules: Mapping[str, nn.Module]
    wanted: frozenset[Key]

    def constants(self, names: Sequence[str]) -> list[Tensor]:
        """The step's own constants of the scheme."""
        return [self.tensors[name, ""] for name in names]

    def keys(self, term: Term) -> list[Key]:
        """The tensors to differentiate a term by."""
        return [key for key in self.tensors if key[0] in term.params and key in self.wanted]

    def buffers(self, term: Term) -> list[tuple[Key, Tensor]]:
        """The tensors of a term's modules that are not parameters."""
        return [
            (key, tensor)
            for key, tensor in self.tensors.items()
            if key[0] in term.params
            and key[0] in self.modules
            and key[1] in dict(self.modules[key[0]].named_buffers())
        ]

    def arguments(self, term: Term, given: Mapping[Key, Tensor]) -> list:
        """The values a term's rate takes, with some of the tensors given anew."""
        tensors = {**self.tensors, **given}
        values = []
        for name in term.params:
            if name in self.modules:
                own = {key: tensor for (of, key), tensor in tensors.items() if of == name}
                values.append(_with(self.modules[name], own))
            else:
                values.append(tensors[name, ""])
        return values


def _with(module: nn.Module, tensors: dict[str, Tensor]):
    return lambda *inputs, **options: functional_call(module, tensors, inputs, options)
