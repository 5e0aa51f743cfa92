"""What becomes of a statement that numbers contradict: it is a fault of ours, and no verdict."""


class Disagreement(Exception):
    """The numeric check contradicts what was derived; one of the two has a fault.

    The command line reports it as it reports every fault of odenet's own, with exit code 70.

    Args:
        what: the statement, and the numbers against it.
        seed: of the draw that shows it.
        name: of the file or scheme.
    """

    def __init__(self, what: str, seed: int, name: str):
        super().__init__(f"{what} ({name}, drawn with seed {seed})")
        self.what = what
        self.seed = seed
        self.name = name


class NoNumbers(ValueError):
    """A formula has a piece without a numerical model, so that it cannot be checked."""
