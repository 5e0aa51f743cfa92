"""Writes small specs with a net and recipe of the test's choice, and trains them.

The nets below lack the width of their last layer, which the test formats in.
"""

from pathlib import Path

from rich.console import Console

import odenet

TEMPLATE = """odenet 1
state Y
param K : {operator}

Y' = tanh((K - K^T) Y)

discretise midpoint(h = 0.1)

net = {net}

train {{
    batch     = 20
    epochs    = {epochs}
    optimizer = adam(0.01)
    {recipe}
}}
"""
VECTOR_NET = "input(4) -> dense(8) -> flow(2) -> dense({})"
SERIES_NET = "input(2, 12) -> conv(3, 6) -> flow(2) -> mean -> dense({})"
VOLUME_NET = "input(1, 4, 4, 4) -> conv(3, 4) -> flow(2) -> mean -> dense({})"
CLASS_MAP_NET = "input(1, 8, 8) -> conv(3, 6) -> flow(2) -> conv(1, {})"


def write(folder: Path, net: str, *recipe: str, epochs: int = 2) -> Path:
    """Write `spec.ode` in a folder, with lines of its recipe ("loss = mse"); gives its path."""
    operator = "dense()" if net.startswith("input(4)") else "conv(3)"
    text = TEMPLATE.format(operator=operator, net=net, recipe="\n    ".join(recipe), epochs=epochs)
    path = folder / "spec.ode"
    path.write_text(text)
    return path


def train(spec: Path, **options):
    """Train a spec, by default into the folder `run` beside it; gives the result."""
    out = options.pop("out", spec.parent / "run")
    return odenet.train(spec, out=out, console=Console(quiet=True), **options)
