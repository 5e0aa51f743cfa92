"""Lightning's checkpoints, for folders that may be moved."""

import os
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


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
