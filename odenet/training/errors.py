"""What a run says when it cannot go on because of something outside the spec."""

from typing import ClassVar

from odenet.diagnostics import Code, Diagnostic, SpecError


class TrainingError(SpecError):
    """Data, a run folder or an option that training cannot use; prints like any other error.

    Args:
        message: what is wrong, with the name of the file or option.
        help: what to do about it.

    Attributes:
        code: the kind, which docs/errors.md explains; each has a class of its own.
    """

    code: ClassVar[Code]

    def __init__(self, message: str, help: str = ""):
        self.message = message
        self.help = help
        super().__init__([Diagnostic(self.code, message, help=help)])


class UnreadableData(TrainingError):
    """Data that are not there, or cannot be read as what they should be."""

    code = "unreadable-data"


class DataMisfit(TrainingError):
    """Data that do not fit the network, the loss, or one another."""

    code = "data-misfit"


class BadOption(TrainingError):
    """An option that does not exist, or a value of it that is not possible here."""

    code = "bad-option"


class RecipeConflict(TrainingError):
    """Keys of a recipe that contradict each other, the data or the machine."""

    code = "recipe-conflict"


class CannotRefine(TrainingError):
    """Levels of a recipe that its flows, or its epochs, do not allow."""

    code = "cannot-refine"


class BadRunFolder(TrainingError):
    """A folder that is not that of a run, is in use, or was damaged."""

    code = "run-folder"


class NotResumable(TrainingError):
    """A run that cannot go on, or not as is asked for."""

    code = "not-resumable"


class NotPossible(TrainingError):
    """What the network of a run cannot do."""

    code = "not-possible"


class NotFinite(TrainingError):
    """Weights that are not finite, and so are not kept."""

    code = "diverged"


class Diverged(TrainingError):
    """Numbers went wrong: training cannot go on with these weights.

    Args:
        message: what went wrong, when and where.
        help: what to do about it.
        epoch: in which it did, counted from 1; 0 outside of training.
        rate: the optimizer's learning rate.
        run: the run's folder, where it can go on from a checkpoint; else None.
    """

    code = "diverged"

    def __init__(self, message: str, help: str, epoch: int, rate: float, run: str | None):
        self.run = run
        self.epoch = epoch
        self.rate = rate
        super().__init__(f"training diverged: {message}" if epoch else message, help)
