"""Runs a training step in a separate process, and measures its memory.

So the memory of the calling program is not counted, and if the step needs too much memory, only the
separate process is killed. `python -m odenet.footprint.measurement` reads a job from its
standard input and prints the result.
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
from odenet.footprint.step import Footprint, run_and_measure
from odenet.json_text import to_json
from odenet.plugins import load_plugin, loaded_plugins


def measure(
    spec: str | Path,
    settings: Mapping[str, Any],
    batch: int,
    modes: Sequence[str],
    device: str,
    in_backward: bool = False,
) -> dict[str, Footprint]:
    """The footprint of a training step of a specification in each mode, without modes that fail.

    Args:
        spec: the path of the specification.
        settings: the settings, as `odenet.load` takes them.
        batch: number of samples.
        modes: the memory modes of flows to measure.
        device: "cpu" or "cuda".
        in_backward: whether the optimizer acts in the backward pass.
    """
    footprints = {}
    plugins = [str(plugin.path) for plugin in loaded_plugins()]
    for mode in modes:
        job = json.dumps([str(spec), dict(settings), batch, mode, device, in_backward, plugins])
        child = subprocess.run(
            [sys.executable, "-m", "odenet.footprint.measurement"],
            input=job,
            env=os.environ | {"KINETO_LOG_LEVEL": "99"},  # torch's profiler logs nothing
            capture_output=True,
            text=True,
        )
        if child.returncode == 0:
            footprints[mode] = Footprint(**json.loads(child.stdout))
    return footprints


if __name__ == "__main__":
    spec, settings, batch, mode, device, in_backward, plugins = json.load(sys.stdin)
    for plugin in plugins:
        load_plugin(plugin)
    footprint = run_and_measure(load(spec, set=settings), batch, mode, device, in_backward)
    print(to_json(asdict(footprint)))
