"""The errors that numerical checks raise."""


class Disagreement(Exception):
    """A numerical check contradicts what was derived, so that one of the two has a bug.

    The command line reports it like any internal error, with exit code 70.

    Args:
        statement: what was derived, and the numbers that contradict it.
        seed: the seed of the random numbers that show it, or the first seed if several were needed.
        name: the name of the file or scheme.
    """

    def __init__(self, statement: str, seed: int, name: str):
        super().__init__(f"{statement} ({name}, drawn with seed {seed})")
        self.statement = statement
        self.seed = seed
        self.name = name


class NotEvaluable(ValueError):
    """A formula contains something that cannot be evaluated numerically, so it is not checked."""
