"""Figures of matplotlib as SVG inside the page: reproducible, and in the colours of the page."""

import io
import re
import warnings
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Placeholder colours; in the SVG they are replaced by CSS colours of the page.
_TEXT, _LINES = "#101112", "#c1c2c3"

STYLE: Any = {  # of all figures of the page and of `odenet plot`
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
    """A figure with one panel, 4.2 inches wide, which fits on a phone.

    Args:
        name: the prefix of the ids in its SVG, so that ids of different figures on a page differ.
        height: in inches.

    Attributes:
        axes: to draw on.
    """

    def __init__(self, name: str, height: float = 2.7):
        self._name = name
        with matplotlib.rc_context(STYLE):
            self._figure = Figure(figsize=(4.2, height), layout="constrained")
            self.axes: Axes = self._figure.subplots()

    def legend(self, columns: int = 1) -> None:
        """Add a legend below the panel, where it hides nothing."""
        self._figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8,
                            labelcolor=_TEXT)  # fmt: skip

    def svg(self, alt: str) -> str:
        """The figure as SVG; `alt` describes it for readers who cannot see it."""
        text = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        style: Any = {**STYLE, "svg.hashsalt": self._name}
        with matplotlib.rc_context(style), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # missing here, not in the browser
            self._figure.savefig(text, format="svg", metadata=no_metadata, transparent=True)
        return _embedded(text.getvalue(), self._name, alt)


def _embedded(svg: str, name: str, alt: str) -> str:
    """The SVG of a file, to be embedded: without header, with unique ids and the page's style."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = svg.replace(_TEXT, "currentColor").replace(_LINES, "var(--lines)")
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    new_tag = rf'<svg role="img" aria-label="{escape(alt)}" \1>'
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda m: m.expand(new_tag), svg, count=1)
