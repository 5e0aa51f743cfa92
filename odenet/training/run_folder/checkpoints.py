"""Checkpoints and weights on disk, written atomically with a checksum that reading verifies."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from odenet.files import atomic_writer, make_folder, write_bytes
from odenet.training.checksums import seal_archive, sha256_of, verify_archive
from odenet.training.errors import BadRunFolder, NotFinite
from odenet.training.schema import Mismatch, read_as

NETWORK_PREFIX = "network."  # of the names of the network's weights in a checkpoint
DAMAGED_HELP = "take another copy of it, or train again"


@dataclass(frozen=True)
class OdenetState:
    """The entry `odenet` of a checkpoint, beside those of Lightning.

    Args:
        level: how many times the flows have been refined (given twice as many steps).
        seconds: spent on training batches so far.
        random: the states of torch's random number generators, by device.
        first_loss: the loss of the very first batch; None before it.
    """

    level: int
    seconds: float
    random: Mapping[str, Tensor]
    first_loss: float | None


@dataclass(frozen=True)
class CheckpointContent:
    """The entries that every checkpoint has to have; all but `odenet` are Lightning's.

    Args:
        state_dict: the weights, and the running sums of the metrics, by name.
        odenet: see `OdenetState`.
        epoch: the current one.
        global_step: optimizer steps done.
        optimizer_states: a list with a single state.
        lr_schedulers: a list with a single state.
        loops: the progress of Lightning's loops over epochs and batches.
        callbacks: the states of callbacks, by name.
    """

    state_dict: Mapping[str, Tensor]
    odenet: OdenetState
    epoch: int
    global_step: int
    optimizer_states: Sequence[Mapping[str, Any]]
    lr_schedulers: Sequence[Mapping[str, Any]]
    loops: Mapping[str, Mapping[str, Any]]
    callbacks: Mapping[str, Mapping[str, Any]]


class CheckpointFiles(TorchCheckpointIO):
    """Makes Lightning write and read checkpoints by the functions of this module."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; raises TrainingError if a weight is not finite."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read and verify a checkpoint, without running any code that it may contain."""
        return read_checkpoint(Path(path))


class KeptCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that keeps its best score even if the folder of the run was moved.

    Checkpoints contain the name of this class.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state from a checkpoint, with all paths moved to the current folder."""
        folder = str(self.dirpath)

        def moved_path(path: str) -> str:
            return os.path.join(folder, os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {moved_path(path): score for path, score in state_dict["best_k_models"].items()}
        moved = {name: moved_path(state_dict[name]) for name in paths}
        super().load_state_dict(state_dict | moved | {"best_k_models": best, "dirpath": folder})


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, completely or not at all, replacing an earlier one.

    Raises:
        TrainingError: a weight is not finite; an earlier file stays as it is.
    """
    # With averaged weights, these are in the first entry, and those being trained in the second.
    for name in ("state_dict", "current_model_state"):
        if non_finite := non_finite_names(checkpoint.get(name, {})):
            weight = non_finite[0].removeprefix(NETWORK_PREFIX)
            message = f"{path} is not written: {weight} is not finite"
            raise NotFinite(message, "what was kept before is still there")
    make_folder(path.parent)
    with atomic_writer(path) as stream:
        torch.save(checkpoint, stream)
        seal_archive(stream)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint after verification; no code that it may contain is run.

    Raises:
        TrainingError: the file cannot be read, is damaged, or lacks an entry.
    """
    try:
        verify_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise Mismatch(f"it holds a {type(content).__name__}")
        names = CheckpointContent.__dataclass_fields__
        read_as(CheckpointContent, {name: content[name] for name in names if name in content})
    except (OSError, Mismatch) as error:
        raise BadRunFolder(f"{path} cannot be used: {error}", DAMAGED_HELP) from error
    except Exception as error:  # of many types; torch's message advises to run the file's code
        message = f"{path} cannot be used: it is not a checkpoint"
        raise BadRunFolder(message, DAMAGED_HELP) from error
    non_finite = non_finite_names(content["state_dict"])
    if non_finite:
        raise BadRunFolder(
            f"{path} cannot be used: {non_finite[0].removeprefix(NETWORK_PREFIX)} holds inf or nan",
            "the run had diverged when it was written; train again with a lower lr or a shorter h",
        )
    return content


def non_finite_names(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold inf or nan."""
    return [n for n, t in state.items() if isinstance(t, Tensor) and not t.isfinite().all()]


def write_weights(checkpoint: Mapping[str, Any], path: Path) -> str:
    """Write the network's weights of a checkpoint as safetensors; returns the file's SHA-256."""
    weights = {
        name.removeprefix(NETWORK_PREFIX): tensor.clone().contiguous()
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(NETWORK_PREFIX)
    }
    data = save(weights, {"level": str(checkpoint["odenet"]["level"])})
    write_bytes(path, data)
    return sha256(data).hexdigest()


def read_weights(path: Path, digest: str) -> dict[str, Any]:
    """The weights that `write_weights` wrote, in the form of a checkpoint without other entries.

    Args:
        path: the file.
        digest: its SHA-256 according to the run's result; empty if that is unknown.

    Raises:
        TrainingError: the file is damaged.
    """
    try:
        if digest and sha256_of(path) != digest:
            raise Mismatch("its content is not what its checksum was taken of")
        with safe_open(path, "pt") as file:
            state = {NETWORK_PREFIX + name: file.get_tensor(name) for name in file.keys()}
            level = int((file.metadata() or {}).get("level", "0"))
    except (OSError, ValueError, SafetensorError) as error:
        raise BadRunFolder(f"{path} cannot be used: {error}", DAMAGED_HELP) from error
    return {"state_dict": state, "odenet": {"level": level}}


def require_same_shapes(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    """Compare the names and shapes of weights.

    Args:
        expected: the weights of the network.
        stored: the weights in a file.

    Raises:
        Mismatch: names the first difference.
    """
    for name, tensor in expected.items():
        weight = name.removeprefix(NETWORK_PREFIX)
        if name not in stored:
            raise Mismatch(f"it has no {weight}")
        if stored[name].shape != tensor.shape:
            stored_shape, shape = _shape_text(stored[name].shape), _shape_text(tensor.shape)
            raise Mismatch(f"{weight} is {stored_shape} in it and {shape} in the network")
    unknown = [name for name in stored if name not in expected]
    if unknown:
        raise Mismatch(f"its {unknown[0].removeprefix(NETWORK_PREFIX)} is not in the network")


def require_same_optimizer(optimizer: Optimizer, states: Sequence[Mapping[str, Any]]) -> None:
    """Compare a new optimizer with the states of optimizers in a checkpoint.

    Raises:
        Mismatch: there is not exactly one state, or the optimizer cannot load it.
    """
    if len(states) != 1:
        raise Mismatch(f"`optimizer_states` has {len(states)} entries, not one")
    groups, parameter_states = states[0].get("param_groups"), states[0].get("state")
    if not isinstance(groups, list) or not isinstance(parameter_states, Mapping):
        raise Mismatch("`optimizer_states` is not that of an optimizer")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    group_sizes = [len(group["params"]) for group in optimizer.param_groups]
    algorithm_key = "betas" if "betas" in optimizer.param_groups[0] else "momentum"
    if not all(isinstance(group, Mapping) and algorithm_key in group for group in groups):
        raise Mismatch(f"its optimizer is not {type(optimizer).__name__}")
    if [len(group.get("params", ())) for group in groups] != group_sizes:
        raise Mismatch("its optimizer has other parameters")
    for index, state in parameter_states.items():
        if index not in range(len(parameters)) or not isinstance(state, Mapping):
            raise Mismatch("its optimizer has other parameters")
        for name, value in state.items():
            shape = parameters[index].shape
            if isinstance(value, Tensor) and value.ndim and value.shape != shape:
                shapes = f"{_shape_text(value.shape)} in it and {_shape_text(shape)} in the network"
                raise Mismatch(f"the optimizer's {name} of parameter {index} is {shapes}")


def require_same_loops(expected: Mapping[str, Any], stored: object, name: str) -> None:
    """Compare the entries of the states of Lightning's loops, of which a checkpoint needs all.

    Args:
        expected: the state of a loop of the trainer.
        stored: the state in the checkpoint.
        name: the name of that entry, for messages.

    Raises:
        Mismatch: an entry is missing.
    """
    if not isinstance(stored, Mapping):
        raise Mismatch(f"`{name}` is not a mapping")
    for key, value in expected.items():
        if key not in stored:
            raise Mismatch(f"`{name}` has no entry `{key}`")
        if isinstance(value, Mapping):
            require_same_loops(value, stored[key], f"{name}.{key}")


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"
