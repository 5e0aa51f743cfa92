"""Runs one training step of a program, on real or fake tensors, and counts their memory."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odenet.compiler import Program
from odenet.footprint.allocator import Peak
from odenet.footprint.ledger import MemoryLedger, fake_tensors
from odenet.model.typed.program import scores_tokens
from odenet.runtime.flow import Flow
from odenet.runtime.layer_modules.head import head_input, next_token_loss
from odenet.runtime.optimizer_in_backward import OptimizerInBackward
from odenet.runtime.passes.flow_weights import FlowWeights
from odenet.training.flows import flows
from odenet.training.learning.optim import build_optimizer

Mode = Literal["reversible", "exact", "stored", "checkpoint"]  # exact: reversible, in fixed point


@dataclass(frozen=True)
class Footprint:
    """The memory of a training step in bytes.

    Attributes:
        parameters: weights and buffers.
        gradients: the gradients of the weights; if the optimizer acts in the backward pass, the
            most that exist at a time.
        optimizer: the optimizer's state.
        chain: tensors that steps of flows hold between the forward and the backward pass.
        outside: tensors that other layers hold between the two passes, and the batch.
        working: other tensors at the moment of the peak.
        peak: the most that is held at once.
    """

    parameters: int
    gradients: int
    optimizer: int
    chain: int
    outside: int
    working: int
    peak: int


def predict(
    program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
) -> Footprint:
    """Predict the footprint of a training step, by running it on fake tensors.

    Args:
        program: the program that has the network and the recipe.
        batch: number of samples.
        memory: the memory mode of flows.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.

    Raises:
        ValueError: if a flow does not have that mode.
    """
    with fake_tensors(), warnings.catch_warnings():
        # The compiler has warned of these already.
        warnings.filterwarnings("ignore", "(?s).*even kernel lengths")
        return TrainingStep(program, batch, memory, device, in_backward).footprint()


def held_by_flows(program: Program, batch: int, memory: Mode) -> dict[str, int]:
    """Predict what each flow holds between the two passes, in bytes, by its name.

    The arguments are those of `predict`; the device is the CPU.
    """
    with fake_tensors():
        return TrainingStep(program, batch, memory, "cpu").held_by_flows()


def run_and_measure(
    program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
) -> Footprint:
    """The footprint of a training step that is run; its peak is that of the allocator.

    The arguments are those of `predict`.
    """
    step = TrainingStep(program, batch, memory, device, in_backward)
    footprint = step.footprint()
    highest = step.allocator_peak()
    permanent = footprint.parameters + footprint.optimizer
    working = max(0, highest - footprint.chain - footprint.outside)
    return replace(footprint, working=working, peak=permanent + highest)


class TrainingStep:
    """A training step of a network on a batch of random data.

    Args:
        program: the program that has the network and the recipe.
        batch: number of samples.
        memory: the memory mode of flows.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.
    """

    def __init__(
        self, program: Program, batch: int, memory: Mode, device: str, in_backward: bool = False
    ):
        recipe = program.recipe
        self._dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self._autocast_dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)
        self._device = device
        program.require_network()
        self._shape = (batch, *(program.input_shape or ()))
        self._vocabulary = program.vocabulary
        self._scores_tokens = scores_tokens(program.model)
        self._network = _build_network(program, device, self._dtype).train()
        for flow in flows(self._network).values():
            flow.memory = "reversible" if memory == "exact" else memory
            if memory == "exact":
                flow.exact = True
        self._optimizer = build_optimizer(self._network, recipe.optimizer)
        if in_backward:
            OptimizerInBackward(self._network, self._optimizer)
        self._in_backward = in_backward

    def footprint(self) -> Footprint:
        """Take a step, and count its tensors."""
        if self._in_backward:  # a first step, which makes the optimizer's state
            self._loss().backward()
        ledger = MemoryLedger(self._network, self._optimizer_state())
        with ledger.recording():
            loss = self._loss()
            chain = ledger.held_by_flows
            outside = ledger.held - chain
            loss.backward()
        self._optimizer.step()
        parameters = list(self._network.parameters())
        parameter_bytes = sum(t.nbytes for t in (*parameters, *self._network.buffers()))
        optimizer_bytes = sum(t.nbytes for t in self._optimizer_state())
        self._optimizer.zero_grad()
        return Footprint(
            parameters=parameter_bytes,
            gradients=self._gradient_bytes(),
            optimizer=optimizer_bytes,
            chain=chain,
            outside=outside,
            working=max(0, ledger.highest - chain - outside),
            peak=parameter_bytes + optimizer_bytes + ledger.highest,
        )

    def held_by_flows(self) -> dict[str, int]:
        """The bytes that each flow holds at the end of the forward pass, by its name."""
        ledger = MemoryLedger(self._network)
        with ledger.recording():
            loss = self._loss()  # keeps the activations alive
            by_flow = dict(ledger.by_flow)
        del loss
        return by_flow

    def allocator_peak(self) -> int:
        """The most bytes that the allocator holds for activations and gradients in a step."""
        with Peak(self._device) as peak:
            self._loss().backward()
        return peak.highest

    def _optimizer_state(self) -> list[Tensor]:
        states = (t for state in self._optimizer.state.values() for t in state.values())
        return [t for t in states if isinstance(t, Tensor)]

    def _gradient_bytes(self) -> int:
        """The bytes of all gradients, or of the most that exist at a time.

        With the optimizer in the backward pass, gradients exist until they are complete: those of a
        step of a flow together, those of other parameters one by one.
        """
        by_parameter = {id(p): p.nbytes for p in self._network.parameters() if p.requires_grad}
        if not self._in_backward:
            return sum(by_parameter.values())
        by_step: list[int] = []
        for flow in flows(self._network).values():
            by_step += _completed_bytes(flow)
            for tensor in FlowWeights(flow, flow.learned_names()).tensors:
                by_parameter.pop(id(tensor), None)
        return max(*by_step, *by_parameter.values())

    def _loss(self) -> Tensor:
        """The loss of a forward pass on random inputs."""
        inputs = torch.randn(self._shape, dtype=self._dtype, device=self._device)
        if self._vocabulary is not None:
            inputs = torch.randint(self._vocabulary, self._shape, device=self._device)
        if self._scores_tokens:
            return self._next_token_loss(inputs)
        with self._autocast():
            outputs = self._network(inputs)
        shape = (len(outputs), *outputs.shape[2:])  # of the labels: one for each sample or pixel
        labels = torch.zeros(shape, dtype=torch.long, device=self._device)
        return F.cross_entropy(outputs.float() if self._autocast_dtype else outputs, labels)

    def _next_token_loss(self, tokens: Tensor) -> Tensor:
        """The loss of language models, computed in chunks of tokens as in training."""
        with self._autocast():
            return next_token_loss(*head_input(self._network, tokens), tokens.flatten())

    def _autocast(self) -> AbstractContextManager:
        """The context of the forward pass, which the recipe's precision decides."""
        dtype = self._autocast_dtype
        return torch.autocast(self._device, dtype) if dtype else nullcontext()


def _completed_bytes(flow: Flow) -> list[int]:
    """For each step of a flow, the bytes of the gradients that its backward pass completes.

    Those are the gradients of the weights that no earlier step reads. A stacked parameter may be
    trained as slices, one for each step; then each slice has a gradient of its own.
    """
    weights = FlowWeights(flow, flow.learned_names())
    slices = [flow.slices and flow.slices.get(tensor) for tensor in weights.tensors]
    sliced = [position for position, parts in enumerate(slices) if parts]
    return [
        sum(
            weights.tensors[position].nbytes // len(slices[position] or [0])
            for position, _ in completed
            if weights.tensors[position].requires_grad
        )
        for completed in weights.first_read(range(flow.steps), sliced).values()
    ]


def _build_network(program: Program, device: str, dtype: torch.dtype) -> nn.Module:
    """The network, made on its device and in its dtype: fake tensors cannot be moved or cast."""
    previous_dtype = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return program.network()
    finally:
        torch.set_default_dtype(previous_dtype)
