"""Checkpoints that are there whole, whatever happens while they are written."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from odenet.files import make_folder, replacing


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the last one, and keeps that until the new one is complete.

    Lightning's own writes to the system's folder of temporary files. On another file system the
    move from there is a copy over the only checkpoint, which a full disk cuts short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; raises WriteError if it cannot be."""
        make_folder(Path(path).parent)
        with replacing(path) as stream:
            torch.save(checkpoint, stream)


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
