"""What a run says when it cannot go on because of something outside the spec."""


class TrainingError(Exception):
    """Data, a run folder or an option that training cannot use.

    Args:
        message: what is wrong, with the name of the file or option.
        help: what to do about it.
    """

    def __init__(self, message: str, help: str = ""):
        self.message = message
        self.help = help
        super().__init__(f"{message}\n{help}" if help else message)
