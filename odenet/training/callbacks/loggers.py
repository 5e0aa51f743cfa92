"""Lightning's loggers by name, which log the numbers of each epoch beside `metrics.csv`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from odenet.extras import require
from odenet.model.tables.argument_kinds import show
from odenet.model.tables.recipe import Recipe
from odenet.training.errors import BadOption

PROJECT = "odenet"  # the project or experiment, if no environment variable names one


def _tensorboard(folder: Path) -> Logger:
    """Logs into RUN/tensorboard."""
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def _wandb(folder: Path) -> Logger:
    """Logs where W&B's environment variables, such as WANDB_MODE, say; local files in RUN/wandb."""
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return WandbLogger(folder.resolve().name, folder, project=project)


def _mlflow(folder: Path) -> Logger:
    """Logs to the server that MLFLOW_TRACKING_URI names, else into RUN/mlruns."""
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    place = os.environ.get("MLFLOW_TRACKING_URI")
    if place is None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else MLflow 3 wants a database
        place = (folder / "mlruns").resolve().as_uri()
    return MLFlowLogger(experiment, folder.resolve().name, tracking_uri=place)


_BUILDERS = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}


def build_logger(name: str, folder: Path) -> Logger:
    """A logger of the given name.

    Args:
        name: one of `odenet.training.run_folder.records.LOGGERS`.
        folder: the run's folder.

    Raises:
        MissingLibraries: what it needs is not installed.
        TrainingError: it cannot log where the environment says.
    """
    require(name, f"--logger {name}")
    with _as_training_error():
        return _BUILDERS[name](folder)


@contextmanager
def logging_to(loggers: Sequence[Logger], recipe: Recipe) -> Iterator[None]:
    """Log the recipe first; finish W&B's run at the end, since a process can have only one.

    Raises:
        TrainingError: a logger cannot log where the environment says.
    """
    with _as_training_error():
        for logger in loggers:
            logger.log_hyperparams({name: show(value) for name, value in recipe.items()})
    try:
        yield
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()


@contextmanager
def _as_training_error() -> Iterator[None]:
    """Turn what a library raises (no account, no server) into a TrainingError."""
    try:
        yield
    except Exception as error:  # of many types: the libraries have no common one
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        help_ = "see WANDB_MODE=offline, or MLFLOW_TRACKING_URI, or leave it out"
        raise BadOption(f"--logger cannot begin: {reason}", help_) from error
