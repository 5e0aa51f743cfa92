"""What the examples share: the folder of specs, command lines, figures and child processes."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # write files, open no windows

from matplotlib import pyplot

SPECS = Path(__file__).parent.parent / "specs"


def argument_parser(docstring, **integer_options):
    """A parser of an example's command line.

    Args:
        docstring: the docstring of the example; its first line is the description.
        **integer_options: `epochs=8` adds the option `--epochs` with the default 8.
    """
    parser = argparse.ArgumentParser(description=docstring.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the figures")
    for name, default in integer_options.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    return parser


def save_figure(figure, folder, file_name):
    """Writes a figure into a folder, closes it and prints its path."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(folder / file_name, dpi=150)
    pyplot.close(figure)
    print(f"wrote {folder / file_name}")


def run_in_child_process(script, *arguments):
    """Runs a script in a fresh process; returns the number that it prints."""
    command = [sys.executable, script, *map(str, arguments)]
    environment = os.environ | {"KINETO_LOG_LEVEL": "99"}  # torch's profiler logs nothing
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return float(child.stdout)
