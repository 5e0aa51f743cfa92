"""Draw docs/figures/why.svg: what backpropagation keeps, and what a reversible network keeps.

`python docs/scripts/why.py` writes it anew. Colours follow the reader's light or dark mode.
"""

from pathlib import Path

TARGET = Path(__file__).parents[1] / "figures" / "why.svg"
WIDTH, STATES, LEFT, APART = 520, 6, 50, 84
STYLE = """
  text { font: 16px system-ui, sans-serif; fill: #1f2328; text-anchor: middle; }
  .title { font-weight: 600; text-anchor: start; }
  .arrow { stroke: #59636e; stroke-width: 2; fill: none; marker-end: url(#tip); }
  .back { stroke: #0969da; stroke-width: 2; fill: none; stroke-dasharray: 5 4;
          marker-end: url(#btip); }
  .kept { fill: #f0b72f; stroke: #9a6700; stroke-width: 1.5; }
  .gone { fill: none; stroke: #818b98; stroke-width: 1.5; stroke-dasharray: 3 3; }
  .kept + text { fill: #1f2328; }
  #tip path { fill: #59636e; } #btip path { fill: #0969da; } .blue { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .arrow { stroke: #9198a1; } #tip path { fill: #9198a1; }
    .back { stroke: #58a6ff; } #btip path, .blue { fill: #58a6ff; }
  }
"""
DESCRIPTION = (
    "Above, plain backpropagation: each of six states is kept until the backward pass. Below, a "
    "reversible network: only the first and the last state are kept, and dashed arrows lead from "
    "the last state back to the others, which are rebuilt one by one."
)


def title(top: int, text: str) -> str:
    """A line above a network."""
    return f'<text class="title" x="14" y="{top}">{text}</text>'


def states(top: int, kept: set[int]) -> list[str]:
    """The states of a network from left to right, with arrows between them."""
    parts = []
    for k in range(STATES):
        x = LEFT + k * APART
        look = "kept" if k in kept else "gone"
        parts.append(f'<rect class="{look}" x="{x - 22}" y="{top}" width="44" height="36" rx="5"/>')
        index = f'<tspan dy="4" font-size="12">{k}</tspan>'
        parts.append(f'<text x="{x}" y="{top + 24}">x{index}</text>')
        if k:
            parts.append(f'<path class="arrow" d="M{x - APART + 26} {top + 18}H{x - 30}"/>')
    return parts


def way_back(top: int) -> list[str]:
    """Arrows from each state to the one before."""
    arcs = []
    for k in range(STATES - 1, 1, -1):
        x = LEFT + k * APART
        arcs.append(f'<path class="back" d="M{x} {top + 40}q{-APART / 2} 34 {6 - APART} 4"/>')
    return arcs


def picture() -> str:
    """The drawing as SVG."""
    markers = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
        for name in ("tip", "btip")
    )
    body = [
        title(26, "Backpropagation keeps every state"),
        *states(44, set(range(STATES))),
        title(128, "A reversible network keeps two, and rebuilds the rest"),
        *states(146, {0, STATES - 1}),
        *way_back(146),
        f'<text class="blue" x="{WIDTH / 2}" y="228">back: the inverse of each step</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 244" width="{WIDTH}" '
        f'height="244" role="img" aria-label="{DESCRIPTION}">\n<style>{STYLE}</style>\n'
        f"<defs>{markers}</defs>\n" + "\n".join(body) + "\n</svg>\n"
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
