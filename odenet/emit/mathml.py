"""MathML of the LaTeX that the notation and the proofs print, for pages and notebooks."""

import re

from odenet.extras import require
from odenet.model.typed.dialects import latex_text


def mathml(latex: str, display: bool = True) -> str:
    """A formula as MathML.

    Args:
        latex: a formula as `Notation` and the proofs print it, without delimiters.
        display: in a line of its own; else within a text.

    Raises:
        MissingLibraries: latex2mathml is not installed.
    """
    require("report", "a page with formulas", "latex2mathml")
    from latex2mathml.converter import convert

    known = latex.replace("{aligned}", "{align*}")  # the same rows, under a name it knows
    known = re.sub(r"\\mathrm\{([^{}]+)\}", r"\\text{\1}", known)  # a word, not its letters
    return convert(known, display="block" if display else "inline")


def inline(text: str) -> str:
    """Mathematics in Unicode, as proofs have it, as MathML within a text."""
    return mathml(latex_text(text), display=False)
