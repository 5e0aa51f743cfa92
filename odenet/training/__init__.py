"""Training: one loop, Lightning's, for every spec.

from odenet import evaluate, train

result = train("specs/digits.ode", set={"epochs": 5})
evaluate(result.folder)
"""

import warnings
from typing import TYPE_CHECKING, Any

from odenet.extras import require
from odenet.lazily import imported

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
    "dry_running": ("DryRun", "dry_run"),
    "errors": ("Diverged", "TrainingError"),
    "exporting": ("export_run",),
    "measuring": ("evaluate", "restore"),
    "rate_finder": ("RateSearch", "find_rate"),
    "records": ("Options", "RunFolder"),
    "results": ("Result",),
    "run": ("resume", "train"),
    "seeds": ("train_seeds",),
    "stopping": ("Stopped",),
    "studies": ("Study", "study_run"),
    "trained": ("TrainedRun", "load_run"),
}

__all__ = [
    "Diverged", "DryRun", "Options", "RateSearch", "Result", "RunFolder", "Stopped", "Study",
    "TrainedRun", "TrainingError", "dry_run", "evaluate", "export_run", "find_rate", "load_run",
    "restore", "resume", "study_run", "train", "train_seeds",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        require("train", f"odenet.training.{name}")
    with warnings.catch_warnings():
        # In a notebook tqdm, which Lightning imports and nothing here uses, asks for ipywidgets.
        warnings.filterwarnings("ignore", "IProgress not found")
        return imported(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
