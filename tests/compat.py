"""The tests under each Python and torch that odenet supports, each in an environment of its own.

    python -m tests.compat                          # every python3.11 to python3.13 on the path
    python -m tests.compat --python python3.13 --torch newest --tests tests/derive tests/runtime

Where the constraint in pyproject.toml begins is the oldest torch, and what the index has last the
newest. Deprecations are errors, as all warnings of the tests are. Nothing is left behind.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13")
LIBRARIES = ("torch", "torchvision")
QUICK = (  # a file of each stage
    "tests/language/test_format.py",
    "tests/emit/test_forms.py",
    "tests/derive/test_symmetry.py",
    "tests/runtime/test_recomputation.py",
    "tests/training/test_run_folder.py",
    "tests/test_files.py",
)


def oldest() -> list[str]:
    """The oldest release of each library that is allowed, as pip is told."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    found = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in lines]
    return [f"{m[1]}=={m[2]}.*" for m in found if m and m[1] in LIBRARIES]


def tried(python: str, torch: str, tests: list[str]) -> str:
    """Make an environment and run the tests in it; what became of them, in a line."""
    with TemporaryDirectory() as folder:
        own = f"{folder}/bin/python"
        wanted = oldest() if torch == "oldest" else []
        steps = [
            [python, "-m", "venv", folder],
            [own, "-m", "pip", "install", "-q", "--no-compile", "-e", ".[test]", *wanted],
        ]
        for step in steps:
            done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                return f"not installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        show = "import sys, torch; print(sys.version.split()[0], torch.__version__)"
        print(*_lines([own, "-c", show]), flush=True)
        command = [own, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   "-W", "error::DeprecationWarning", "-W", "error::PendingDeprecationWarning"]  # fmt: skip
        lines = _lines([*command, *tests])
        print(*[line for line in lines if line.startswith(("FAILED", "ERROR"))], sep="\n")
        return lines[-1] if lines else "no answer"


def _lines(command: list[str]) -> list[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def main() -> None:
    """Try each pair; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", nargs="+", default=[p for p in PYTHONS if which(p)])
    parser.add_argument("--torch", nargs="+", choices=["oldest", "newest"],
                        default=["oldest", "newest"])  # fmt: skip
    parser.add_argument("--tests", nargs="+", default=list(QUICK), help="`tests` for all of them")
    given = parser.parse_args()
    answers = []
    for python, torch in product(given.python, given.torch):
        answers.append(tried(python, torch, given.tests))
        print(f"{python}, {torch} torch: {answers[-1]}", flush=True)
    sys.exit(any("passed" not in line or "failed" in line or "error" in line for line in answers))


if __name__ == "__main__":
    main()
