"""What a run says when it cannot go on because of something outside the spec."""

from odenet.diagnostics import Code, Diagnostic, SpecError


class TrainingError(SpecError):
    """Data, a run folder or an option that training cannot use; prints like any other error.

    Args:
        code: its kind, which docs/errors.md explains.
        message: what is wrong, with the name of the file or option.
        help: what to do about it.
    """

    def __init__(self, code: Code, message: str, help: str = ""):
        self.message = message
        self.help = help
        super().__init__([Diagnostic(code, message, help=help)])


class Diverged(TrainingError):
    """Numbers went wrong: training cannot go on with these weights.

    Args:
        message: what went wrong, when and where.
        help: what to do about it.
        epoch: in which it did, counted from 1; 0 outside of training.
        rate: the optimizer's learning rate.
        run: the run's folder, where it can go on from a checkpoint; else None.
    """

    def __init__(self, message: str, help: str, epoch: int, rate: float, run: str | None):
        self.run = run
        self.epoch = epoch
        self.rate = rate
        super().__init__("diverged", f"training diverged: {message}" if epoch else message, help)
