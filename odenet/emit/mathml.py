"""MathML of the LaTeX that the notation and the proofs print, for pages and notebooks."""

import re

from odenet.extras import require

# A CSS style that draws brackets around a matrix: two borders, and a tick in each corner. Stretched
# bracket characters would need a font for mathematics, which Linux may lack.
_TICK = "linear-gradient(currentColor 0 0)"
_CORNERS = ("left top", "left bottom", "right top", "right bottom")
_BRACKETS = (
    "border-inline: 1.5px solid; margin-inline: .25em; padding-inline: .3em; "
    f"background: {', '.join(f'{_TICK} {corner} / .35em 1.5px no-repeat' for corner in _CORNERS)}"
)


def mathml(latex: str) -> str:
    """A formula as MathML, in a line of its own.

    Args:
        latex: a formula as `Notation` and the proofs print it, without delimiters.

    Raises:
        MissingLibraries: latex2mathml is not installed.
    """
    require("report", "a page with formulas", "latex2mathml")
    from latex2mathml.converter import convert

    known = latex.replace("{aligned}", "{align*}")  # the same rows, under a name it knows
    known = known.replace("{bmatrix}", "{matrix}")
    known = re.sub(r"\\mathrm\{([^{}]+)\}", r"\\text{\1}", known)  # a word, not its letters
    return convert(known, display="block").replace("<mtable>", f'<mtable style="{_BRACKETS}">')
