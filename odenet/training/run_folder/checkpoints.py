"""Checkpoints and weights on disk: written whole and sealed, and verified before they are used."""

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

from odenet.files import atomic_writer, make_folder, write_bytes
from odenet.training.checksums import seal_archive, sha256_of, verify_archive
from odenet.training.errors import BadRunFolder, NotFinite
from odenet.training.schema import Mismatch, read_as

NETWORK_PREFIX = "network."  # before the names of the network's weights in a checkpoint
DAMAGED_HELP = "go on from another copy of it, or train again"


@dataclass(frozen=True)
class OdenetState:
    """What odenet adds to a checkpoint.

    Args:
        level: how often the flows have been refined.
        seconds: spent on training batches.
        first_loss: of the first batch of all; None before it.
        random: the states of the random streams, by device.
    """

    level: int
    seconds: float
    random: Mapping[str, Tensor]
    first_loss: float | None


@dataclass(frozen=True)
class CheckpointContent:
    """What every checkpoint has to hold.

    Args:
        state_dict: weights and sums of the metrics, by name.
        odenet: see `OdenetState`.
        epoch: the current one.
        global_step: optimizer steps done.
        optimizer_states: one.
        lr_schedulers: one.
        loops: how far they are.
        callbacks: their states, by name.
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
    """How Lightning writes and reads checkpoints."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write one, unless it holds what is not finite."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one, verified; nothing that it may hold is run."""
        return read_checkpoint(Path(path))


class KeptCheckpoint(ModelCheckpoint):
    """Lightning's, which forgets its best score when the folder of the run has been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state back; its files lie where the folder is now."""
        folder = str(self.dirpath)

        def here(path: str) -> str:
            return os.path.join(folder, os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        moved = {name: here(state_dict[name]) for name in paths}
        super().load_state_dict(state_dict | moved | {"best_k_models": best, "dirpath": folder})


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, completely or not at all, in place of the last one.

    Raises:
        TrainingError: weights are not finite; what was there stays.
    """
    for name in ("state_dict", "current_model_state"):
        bad = non_finite_names(checkpoint.get(name, {}))
        if bad:
            raise NotFinite(
                f"{path} is not written: {bad[0].removeprefix(NETWORK_PREFIX)} is not finite",
                "what was kept before is still there",
            )
    make_folder(path.parent)
    with atomic_writer(path) as stream:
        torch.save(checkpoint, stream)
        seal_archive(stream)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, verified, without running anything that it may hold.

    Raises:
        TrainingError: it cannot be read, is damaged, or lacks what a checkpoint of odenet holds.
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
    except Exception as error:  # pickle and torch have many; theirs advise to run what is in it
        raise BadRunFolder(
            f"{path} cannot be used: it is not a checkpoint", DAMAGED_HELP
        ) from error
    bad = non_finite_names(content["state_dict"])
    if bad:
        raise BadRunFolder(
            f"{path} cannot be used: {bad[0].removeprefix(NETWORK_PREFIX)} holds inf or nan",
            "the run had diverged when it was written; train again with a lower lr or a shorter h",
        )
    return content


def non_finite_names(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold inf or nan."""
    return [
        name
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and not bool(tensor.isfinite().all())
    ]


def write_weights(checkpoint: Mapping[str, Any], path: Path) -> str:
    """Write the network's weights as safetensors, for any program; gives their SHA-256."""
    weights = {
        name.removeprefix(NETWORK_PREFIX): tensor.clone().contiguous()
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(NETWORK_PREFIX)
    }
    data = save(weights, {"level": str(checkpoint["odenet"]["level"])})
    write_bytes(path, data)
    return sha256(data).hexdigest()


def read_weights(path: Path, digest: str) -> dict[str, Any]:
    """What `write_weights` wrote, named as in a checkpoint.

    Args:
        path: the file.
        digest: its SHA-256, as the run's result has it; empty where that is not known.

    Raises:
        TrainingError: it is damaged.
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


def require_same_shapes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare the names and shapes of tensors.

    Raises:
        Mismatch: says where they differ.
    """
    for name, tensor in expected.items():
        shown = name.removeprefix(NETWORK_PREFIX)
        if name not in found:
            raise Mismatch(f"it has no {shown}")
        there, here = found[name].shape, tensor.shape
        if there != here:
            raise Mismatch(
                f"{shown} is {_shape_text(there)} in it and {_shape_text(here)} in the network"
            )
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise Mismatch(f"its {unknown[0].removeprefix(NETWORK_PREFIX)} is not in the network")


def require_same_optimizer(
    optimizer: torch.optim.Optimizer, found: Sequence[Mapping[str, Any]]
) -> None:
    """Compare an optimizer that has done no step with a state that it is to take.

    Raises:
        Mismatch: says where they differ.
    """
    if len(found) != 1:
        raise Mismatch(f"`optimizer_states` has {len(found)} entries, not one")
    groups, states = found[0].get("param_groups"), found[0].get("state")
    if not isinstance(groups, list) or not isinstance(states, Mapping):
        raise Mismatch("`optimizer_states` is not that of an optimizer")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    kind = "betas" if "betas" in optimizer.param_groups[0] else "momentum"
    if not all(isinstance(group, Mapping) and kind in group for group in groups):
        raise Mismatch(f"its optimizer is not {type(optimizer).__name__}")
    if [len(group.get("params", ())) for group in groups] != sizes:
        raise Mismatch("its optimizer has other parameters")
    for place, state in states.items():
        if place not in range(len(parameters)) or not isinstance(state, Mapping):
            raise Mismatch("its optimizer has other parameters")
        for name, value in state.items():
            shape = parameters[place].shape
            if isinstance(value, Tensor) and value.ndim and value.shape != shape:
                raise Mismatch(
                    f"the optimizer's {name} of parameter {place} is "
                    f"{_shape_text(value.shape)} in it and {_shape_text(shape)} in the network"
                )


def require_same_loops(expected: Mapping[str, Any], found: object, name: str) -> None:
    """Compare the entries of the state of a loop.

    Raises:
        Mismatch: one is missing.
    """
    if not isinstance(found, Mapping):
        raise Mismatch(f"`{name}` is not a mapping")
    for key, value in expected.items():
        if key not in found:
            raise Mismatch(f"`{name}` has no entry `{key}`")
        if isinstance(value, Mapping):
            require_same_loops(value, found[key], f"{name}.{key}")


def _shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"
