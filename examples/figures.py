"""What the examples share: where they find specs and put figures."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files, no windows

from matplotlib import pyplot

SPECS = Path(__file__).parent.parent / "specs"


def options(text, **numbers):
    """A parser of the example's text with a whole number for each keyword, and a folder."""
    parser = argparse.ArgumentParser(description=text.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the figures")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    return parser


def save(figure, folder, name):
    """Writes a figure and says where."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(folder / name, dpi=150)
    pyplot.close(figure)
    print(f"wrote {folder / name}")


def printed_by_child(script, *arguments):
    """The number that a script prints, run in a fresh process."""
    command = [sys.executable, script, *map(str, arguments)]
    quiet = os.environ | {"KINETO_LOG_LEVEL": "99"}  # the profiler's notes on itself
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=quiet).stdout)
