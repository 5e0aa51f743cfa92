"""A training step run in a process of its own, and what it took.

`python -m odenet.footprint.measure` reads the job from its input and prints the result. A process
apart keeps what the network takes away from what the program around it does, and a network that is
too large ends nothing but its own measurement.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from odenet.compiler import load
from odenet.footprint.step import Footprint, counted
from odenet.json_text import to_json
from odenet.plugins import load_plugin, loaded_plugins


def measured(
    spec: str | Path,
    settings: Mapping[str, Any],
    batch: int,
    modes: Sequence[str],
    device: str,
    in_backward: bool = False,
) -> dict[str, Footprint]:
    """What a training step of a specification takes, mode by mode; a mode that fails is left out.

    Args:
        spec: the file.
        settings: as of `odenet.load`.
        batch: samples.
        modes: memory modes of flows.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.
    """
    found = {}
    plugins = [str(plugin.path) for plugin in loaded_plugins()]
    for mode in modes:
        job = json.dumps([str(spec), dict(settings), batch, mode, device, in_backward, plugins])
        child = subprocess.run(
            [sys.executable, "-m", "odenet.footprint.measure"],
            input=job,
            env=os.environ | {"KINETO_LOG_LEVEL": "99"},  # the profiler's notes on itself
            capture_output=True,
            text=True,
        )
        if child.returncode == 0:
            found[mode] = Footprint(**json.loads(child.stdout))
    return found


if __name__ == "__main__":
    spec, settings, batch, mode, device, in_backward, plugins = json.load(sys.stdin)
    for plugin in plugins:
        load_plugin(plugin)
    footprint = counted(load(spec, set=settings), batch, mode, device, in_backward)
    print(to_json(asdict(footprint)))
