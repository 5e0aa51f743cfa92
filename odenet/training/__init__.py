"""Training: one loop, Lightning's, for every spec.

from odenet import evaluate, train

result = train("specs/digits.ode", set={"epochs": 5})
evaluate(result.folder)
"""

import warnings
from typing import TYPE_CHECKING, Any

from odenet.extras import require
from odenet.lazy_imports import import_attribute

if TYPE_CHECKING:
    from odenet.training.callbacks.ramps import MoveRamps
    from odenet.training.callbacks.stopping import Stopped
    from odenet.training.errors import Diverged, TrainingError
    from odenet.training.run_folder.records import Options, RunFolder
    from odenet.training.runs.dry_run import DryRun, dry_run
    from odenet.training.runs.evaluation import evaluate, restore
    from odenet.training.runs.rate_finder import RateSearch, find_rate
    from odenet.training.runs.results import Result
    from odenet.training.runs.run import resume, train
    from odenet.training.runs.seeds import train_seeds
    from odenet.training.trained_runs.exporting import export_run
    from odenet.training.trained_runs.studies import Study, study_run
    from odenet.training.trained_runs.trained_run import TrainedRun, load_run

# The modules of the public names, which are imported on first use: importing Lightning is slow.
_HOMES = {
    "callbacks.ramps": ("MoveRamps",),
    "callbacks.stopping": ("Stopped",),
    "errors": ("Diverged", "TrainingError"),
    "run_folder.records": ("Options", "RunFolder"),
    "runs.dry_run": ("DryRun", "dry_run"),
    "runs.evaluation": ("evaluate", "restore"),
    "runs.rate_finder": ("RateSearch", "find_rate"),
    "runs.results": ("Result",),
    "runs.run": ("resume", "train"),
    "runs.seeds": ("train_seeds",),
    "trained_runs.exporting": ("export_run",),
    "trained_runs.studies": ("Study", "study_run"),
    "trained_runs.trained_run": ("TrainedRun", "load_run"),
}

__all__ = [
    "Diverged", "DryRun", "MoveRamps", "Options", "RateSearch", "Result", "RunFolder", "Stopped",
    "Study", "TrainedRun", "TrainingError", "dry_run", "evaluate", "export_run", "find_rate",
    "load_run", "restore", "resume", "study_run", "train", "train_seeds",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        require("train", f"odenet.training.{name}")
    with warnings.catch_warnings():
        # In a notebook tqdm, which Lightning imports and nothing here uses, asks for ipywidgets.
        warnings.filterwarnings("ignore", "IProgress not found")
        return import_attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
