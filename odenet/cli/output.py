"""What commands print, apart from rich's tables."""

import sys

from odenet.diagnostics import printable_lines


def say(text: object, err: bool = False) -> None:
    """Print lines; what a terminal would act on is shown by a stand-in."""
    print(printable_lines(str(text)), file=sys.stderr if err else sys.stdout)
