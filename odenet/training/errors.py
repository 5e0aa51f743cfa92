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
