"""Training: one loop, Lightning's, for every spec.

from odenet.train import evaluate, train

result = train("specs/digits.ode", set={"epochs": 5})
evaluate(result.folder)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from odenet.extras import require

if TYPE_CHECKING:
    from odenet.train.errors import TrainingError
    from odenet.train.exporting import export_run
    from odenet.train.records import Options, RunFolder
    from odenet.train.results import Result
    from odenet.train.run import evaluate, restore, resume, train
    from odenet.train.seeds import train_seeds
    from odenet.train.stopping import Stopped
    from odenet.train.studies import Study, study_run
    from odenet.train.trained import TrainedRun, load_run

# Where the public names live; each is imported when it is used, so that Lightning waits.
_HOMES = {
    "Options": "odenet.train.records",
    "Result": "odenet.train.results",
    "RunFolder": "odenet.train.records",
    "Stopped": "odenet.train.stopping",
    "Study": "odenet.train.studies",
    "TrainingError": "odenet.train.errors",
    "TrainedRun": "odenet.train.trained",
    "evaluate": "odenet.train.run",
    "export_run": "odenet.train.exporting",
    "load_run": "odenet.train.trained",
    "restore": "odenet.train.run",
    "resume": "odenet.train.run",
    "study_run": "odenet.train.studies",
    "train": "odenet.train.run",
    "train_seeds": "odenet.train.seeds",
}

__all__ = [
    "Options", "Result", "RunFolder", "Stopped", "Study", "TrainedRun", "TrainingError", "evaluate",
    "export_run", "load_run", "restore", "resume", "study_run", "train", "train_seeds",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'odenet.train' has no attribute '{name}'")
    require("train", f"odenet.train.{name}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
