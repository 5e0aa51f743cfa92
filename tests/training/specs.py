"""Small specs around any net and recipe, trained from Python or by the command."""

from pathlib import Path

from rich.console import Console

import odenet

TEXT = """odenet 1
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
VECTORS = "input(4) -> dense(8) -> flow(2) -> dense({})"
SERIES = "input(2, 12) -> conv(3, 6) -> flow(2) -> mean -> dense({})"
VOLUMES = "input(1, 4, 4, 4) -> conv(3, 4) -> flow(2) -> mean -> dense({})"
MAPS = "input(1, 8, 8) -> conv(3, 6) -> flow(2) -> conv(1, {})"


def write(folder: Path, net: str, *recipe: str, epochs: int = 2) -> Path:
    """A spec in a folder; keys of its recipe are given as lines."""
    operator = "dense()" if net.startswith("input(4)") else "conv(3)"
    text = TEXT.format(operator=operator, net=net, recipe="\n    ".join(recipe), epochs=epochs)
    path = folder / "spec.ode"
    path.write_text(text)
    return path


def train(spec: Path, **options):
    """A run in the folder of the spec."""
    out = options.pop("out", spec.parent / "run")
    return odenet.train(spec, out=out, console=Console(quiet=True), **options)
