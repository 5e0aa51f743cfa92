"""Figures of matplotlib as SVG within a page: the same bytes each time, in the page's colours."""

import io
import re
import warnings
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that the page puts its own in the place of: that of its text, and of its lines.
_TEXT, _LINES = "#101112", "#c1c2c3"

STYLE: Any = {  # of every figure of a report, and of `odenet plot`
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINES,
    "grid.linewidth": 0.6,
    "axes.titlesize": 9,
    "lines.markersize": 4,
    **{key: _TEXT for key in ("text.color", "axes.labelcolor", "axes.edgecolor",
                              "xtick.color", "ytick.color")},
}  # fmt: skip


class Drawing:
    """A figure of one panel, as wide as a phone.

    Args:
        name: begins the ids in it, so that those of several figures of a page differ.
        height: in inches; it is 4.2 wide.
    """

    def __init__(self, name: str, height: float = 2.7):
        self._name = name
        with matplotlib.rc_context(STYLE):
            self._figure = Figure(figsize=(4.2, height), layout="constrained")
            self.axes: Axes = self._figure.subplots()

    def legend(self, columns: int = 1) -> None:
        """What the lines are, below the panel, where it hides none of them."""
        self._figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8,
                            labelcolor=_TEXT)  # fmt: skip

    def svg(self, alt: str) -> str:
        """The figure; `alt` is what is to be seen, for who does not see it."""
        text = io.StringIO()
        unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        style: Any = {**STYLE, "svg.hashsalt": self._name}
        with matplotlib.rc_context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the browser has others
            self._figure.savefig(text, format="svg", metadata=unsaid, transparent=True)
        return _within_page(text.getvalue(), self._name, alt)


def _within_page(svg: str, name: str, alt: str) -> str:
    """What a page takes of a file: no head, ids of its own, colours and letters of the page."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = svg.replace(_TEXT, "currentColor").replace(_LINES, "var(--lines)")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    begin = rf'<svg role="img" aria-label="{escape(alt)}" \1>'
    return re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", lambda m: m.expand(begin), svg, count=1)
