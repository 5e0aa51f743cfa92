"""The errors of training whose cause is outside the spec: data, options, folders, weights."""

from typing import ClassVar

from odenet.diagnostics import Code, Diagnostic, SpecError


class TrainingError(SpecError):
    """The base class: data, a run folder or an option that training cannot use.

    It is printed like an error in a spec, but without a line of the spec.

    Args:
        message: what is wrong, with the name of the file or option.
        help: what to do about it.

    Attributes:
        code: the kind of the error, which docs/errors.md explains; there is a class for each.
    """

    code: ClassVar[Code]

    def __init__(self, message: str, help: str = ""):
        self.message = message
        self.help = help
        super().__init__([Diagnostic(self.code, message, help=help)])


class UnreadableData(TrainingError):
    """Data that are missing, or cannot be read as what they should be."""

    code = "unreadable-data"


class DataMisfit(TrainingError):
    """Data that do not fit the network or the loss, or are inconsistent."""

    code = "data-misfit"


class BadOption(TrainingError):
    """An option that does not exist, or a value that it cannot have."""

    code = "bad-option"


class RecipeConflict(TrainingError):
    """Keys of a recipe that contradict each other, the data or the machine."""

    code = "recipe-conflict"


class CannotRefine(TrainingError):
    """A recipe with `levels` (epochs after which flows are refined) that cannot be carried out."""

    code = "cannot-refine"


class BadRunFolder(TrainingError):
    """A folder that is not that of a run, is in use, or has damaged files."""

    code = "run-folder"


class NotResumable(TrainingError):
    """A run that cannot be resumed, or not with the changed settings."""

    code = "not-resumable"


class NotPossible(TrainingError):
    """A request that cannot be fulfilled, such as a prediction by a density, or a failed worker."""

    code = "not-possible"


class NotFinite(TrainingError):
    """Weights that are infinite or nan, and therefore are not written."""

    code = "diverged"


class Diverged(TrainingError):
    """A loss, gradient or weight became infinite or nan, so that training cannot continue.

    Args:
        message: what happened, when and where.
        help: what to do about it.
        epoch: the epoch in which it happened, counted from 1; 0 outside of training.
        rate: the optimizer's learning rate.
        run: the run's folder, if it has a checkpoint to resume from; else None.
    """

    code = "diverged"

    def __init__(self, message: str, help: str, epoch: int, rate: float, run: str | None):
        self.run = run
        self.epoch = epoch
        self.rate = rate
        super().__init__(f"training diverged: {message}" if epoch else message, help)
