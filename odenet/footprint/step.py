"""One training step with everything that it holds counted, on real tensors or on fake ones."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odenet.compiler import Program
from odenet.footprint.allocator import Peak
from odenet.footprint.ledger import MemoryLedger, valueless
from odenet.model.typed.program import scores_tokens
from odenet.runtime.flow import Flow
from odenet.runtime.layers.head import head_input, next_token_loss
from odenet.runtime.optimizer_in_backward import OptimizerInBackward
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.training.flows import flows
from odenet.training.learning.optim import build_optimizer

Mode = Literal["reversible", "exact", "stored", "checkpoint"]  # exact is reversible too


@dataclass(frozen=True)
class Footprint:
    """Bytes of a training step.

    Attributes:
        parameters: weights and buffers.
        gradients: of the weights; the most that live at a time where the optimizer acts in the
            backward pass.
        optimizer: its state.
        chain: what flows hold between the forward and the backward pass.
        outside: what everything else holds between them, and the batch.
        working: the other memory in use at the moment of the peak.
        peak: the most that is held at once.
    """

    parameters: int
    gradients: int
    optimizer: int
    chain: int
    outside: int
    working: int
    peak: int


def predicted(
    program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
) -> Footprint:
    """The footprint of a training step, from a walk through it without any values.

    Args:
        program: its network and recipe.
        batch: samples.
        memory: a memory mode of flows, or `exact`: reversible, in exact arithmetic.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.

    Raises:
        ValueError: if a flow has no such mode.
    """
    with valueless(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*even kernel lengths")  # the compiler has said it
        return TrainingStep(program, batch, memory, device, in_backward).footprint()


def held_by_flows(program: Program, batch: int, memory: Mode) -> dict[str, int]:
    """What each flow holds between the forward and the backward pass, in bytes, by its name.

    It is predicted as in `predicted`, on a CPU; the arguments are those, too.
    """
    with valueless():
        return TrainingStep(program, batch, memory, "cpu").held_by_flows()


def counted(
    program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
) -> Footprint:
    """The footprint of a training step that is run, with the peak that the allocator saw."""
    training = TrainingStep(program, batch, memory, device, in_backward)
    found = training.footprint()
    highest = training.highest()
    fixed = found.parameters + found.optimizer
    working = max(0, highest - found.chain - found.outside)
    return replace(found, working=working, peak=fixed + highest)


class TrainingStep:
    """A network with its optimizer and a batch of random data.

    Args:
        program: network and recipe.
        batch: samples.
        memory: a memory mode of flows, or `exact`: reversible, in exact arithmetic.
        device: where it is.
        in_backward: whether the optimizer acts in the backward pass.
    """

    def __init__(
        self, program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
    ):
        recipe = program.recipe
        self._dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self._low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)
        self._device = device
        program.require_network()
        self._shape = (batch, *(program.input_shape or ()))
        self._vocabulary = program.vocabulary
        self._scores_tokens = scores_tokens(program.model)
        self._network = _built(program, device, self._dtype).train()
        for flow in flows(self._network).values():
            flow.memory = "reversible" if memory == "exact" else memory
            if memory == "exact":
                flow.exact = True
        self._optimizer = build_optimizer(self._network, recipe.optimizer)
        if in_backward:
            OptimizerInBackward(self._network, self._optimizer)
        self._in_backward = in_backward

    def footprint(self) -> Footprint:
        """One step, counted tensor by tensor."""
        if self._in_backward:  # a first step makes the optimizer's state
            self._loss().backward()
        ledger = MemoryLedger(self._network, self._state())
        with ledger.following():
            loss = self._loss()
            chain, outside = ledger.chain, ledger.held - ledger.chain
            loss.backward()
        self._optimizer.step()
        parameters = list(self._network.parameters())
        fixed = sum(t.nbytes for t in (*parameters, *self._network.buffers()))
        optimizer = sum(t.nbytes for t in self._state())
        self._optimizer.zero_grad()
        return Footprint(
            parameters=fixed,
            gradients=self._gradients(),
            optimizer=optimizer,
            chain=chain,
            outside=outside,
            working=max(0, ledger.highest - chain - outside),
            peak=fixed + optimizer + ledger.highest,
        )

    def held_by_flows(self) -> dict[str, int]:
        """What each flow holds when the forward pass is over, by its name."""
        ledger = MemoryLedger(self._network)
        with ledger.following():
            loss = self._loss()
            found = dict(ledger.by_flow)
        del loss
        return found

    def highest(self) -> int:
        """The most that the allocator holds for activations and gradients in one step."""
        with Peak(self._device) as peak:
            self._loss().backward()
        return peak.highest

    def _state(self) -> list[Tensor]:
        states = (t for state in self._optimizer.state.values() for t in state.values())
        return [t for t in states if isinstance(t, Tensor)]

    def _gradients(self) -> int:
        """The bytes of all gradients, or of the most that a step of a flow or a layer completes."""
        apart = {id(p): p.nbytes for p in self._network.parameters() if p.requires_grad}
        if not self._in_backward:
            return sum(apart.values())
        together: list[int] = []
        for flow in flows(self._network).values():
            together += _completed_bytes(flow)
            for tensor in FlowWeights(flow, flow.learned_names()).tensors:
                apart.pop(id(tensor), None)
        return max(*together, *apart.values())

    def _loss(self) -> Tensor:
        inputs = torch.randn(self._shape, dtype=self._dtype, device=self._device)
        if self._vocabulary is not None:
            inputs = torch.randint(self._vocabulary, self._shape, device=self._device)
        if self._scores_tokens:
            return self._loss_of_tokens(inputs)
        low = self._low
        with torch.autocast(self._device, low) if low else nullcontext():
            outputs = self._network(inputs)
        places = (len(outputs), *outputs.shape[2:])  # one label each
        labels = torch.zeros(places, dtype=torch.long, device=self._device)
        return F.cross_entropy(outputs.float() if low else outputs, labels)

    def _loss_of_tokens(self, tokens: Tensor) -> Tensor:
        """The loss of next tokens, in parts as in training."""
        low = self._low
        with torch.autocast(self._device, low) if low else nullcontext():
            return next_token_loss(*head_input(self._network, tokens), tokens.flatten())


def _completed_bytes(flow: Flow) -> list[int]:
    """The bytes of the gradients that each step of a flow completes."""
    weights = FlowWeights(flow, flow.learned_names())
    slices = [flow.slices and flow.slices.get(tensor) for tensor in weights.tensors]
    apart = [place for place, parts in enumerate(slices) if parts]
    return [
        sum(
            weights.tensors[place].nbytes // len(slices[place] or [0])
            for place, _ in parts
            if weights.tensors[place].requires_grad
        )
        for parts in weights.first_read(range(flow.steps), apart).values()
    ]


def _built(program: Program, device: str, dtype: torch.dtype) -> nn.Module:
    """The network where and as it is to be: fake tensors cannot be moved or converted."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return program.network()
    finally:
        torch.set_default_dtype(before)
