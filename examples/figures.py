"""What the examples share: where they find specs and put figures."""

import argparse
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
