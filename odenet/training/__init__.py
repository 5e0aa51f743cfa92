"""Training: one loop, Lightning's, for every spec.

from odenet import evaluate, train

result = train("specs/digits.ode", set={"epochs": 5})
evaluate(result.folder)
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from odenet.extras import require

if TYPE_CHECKING:
    from odenet.training.dry_running import DryRun, dry_run
    from odenet.training.errors import Diverged, TrainingError
    from odenet.training.exporting import export_run
    from odenet.training.measuring import evaluate, restore
    from odenet.training.rate_finder import RateSearch, find_rate
    from odenet.training.records import Options, RunFolder
    from odenet.training.results import Result
    from odenet.training.run import resume, train
    from odenet.training.seeds import train_seeds
    from odenet.training.stopping import Stopped
    from odenet.training.studies import Study, study_run
    from odenet.training.trained import TrainedRun, load_run

# Where the public names live; each is imported when it is used, so that Lightning waits.
_HOMES = {
    "Diverged": "odenet.training.errors",
    "DryRun": "odenet.training.dry_running",
    "Options": "odenet.training.records",
    "RateSearch": "odenet.training.rate_finder",
    "Result": "odenet.training.results",
    "RunFolder": "odenet.training.records",
    "Stopped": "odenet.training.stopping",
    "Study": "odenet.training.studies",
    "TrainingError": "odenet.training.errors",
    "TrainedRun": "odenet.training.trained",
    "dry_run": "odenet.training.dry_running",
    "evaluate": "odenet.training.measuring",
    "export_run": "odenet.training.exporting",
    "find_rate": "odenet.training.rate_finder",
    "load_run": "odenet.training.trained",
    "restore": "odenet.training.measuring",
    "resume": "odenet.training.run",
    "study_run": "odenet.training.studies",
    "train": "odenet.training.run",
    "train_seeds": "odenet.training.seeds",
}

__all__ = [
    "Diverged", "DryRun", "Options", "RateSearch", "Result", "RunFolder", "Stopped", "Study",
    "TrainedRun", "TrainingError", "dry_run", "evaluate", "export_run", "find_rate", "load_run",
    "restore", "resume", "study_run", "train", "train_seeds",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'odenet.training' has no attribute '{name}'")
    require("train", f"odenet.training.{name}")
    with warnings.catch_warnings():
        # In a notebook tqdm, which Lightning imports and nothing here uses, asks for ipywidgets.
        warnings.filterwarnings("ignore", "IProgress not found")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
