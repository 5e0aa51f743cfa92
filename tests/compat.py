"""The tests under each Python and torch that odenet supports, each in an environment of its own.

    python -m tests.compat                          # every python3.11 to python3.13 on the path
    python -m tests.compat --python python3.13 --torch newest --tests tests/derive tests/runtime

The oldest torch is the lower bound in pyproject.toml, the newest is the last release on the package
index. Deprecation warnings are errors. The environments are removed afterwards.
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
PINNED_LIBRARIES = ("torch", "torchvision")
QUICK_TESTS = (  # one file for each stage of the compiler, the runtime and the trainer
    "tests/language/test_format.py",
    "tests/emit/test_forms.py",
    "tests/derive/test_symmetry.py",
    "tests/runtime/test_recomputation.py",
    "tests/training/test_run_folder.py",
    "tests/test_files.py",
)


def oldest_requirements() -> list[str]:
    """The oldest torch and torchvision of pyproject.toml, for pip, such as `torch==2.11.*`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    matches = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in lines]
    return [f"{m[1]}=={m[2]}.*" for m in matches if m and m[1] in PINNED_LIBRARIES]


def run_tests(python: str, torch: str, tests: list[str]) -> str:
    """Make an environment, run the tests in it and return the last line of pytest's output.

    Args:
        python: the interpreter, by name or path.
        torch: "oldest" or "newest".
        tests: files and folders of tests.
    """
    with TemporaryDirectory() as folder:
        venv_python = f"{folder}/bin/python"
        pinned = oldest_requirements() if torch == "oldest" else []
        setup_commands = [
            [python, "-m", "venv", folder],
            [venv_python, "-m", "pip", "install", "-q", "--no-compile", "-e", ".[test]", *pinned],
        ]
        for command in setup_commands:
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if result.returncode:
                return f"not installed: {(result.stderr.strip().splitlines() or ['?'])[-1]}"
        version_script = "import sys, torch; print(sys.version.split()[0], torch.__version__)"
        print(*_output_lines([venv_python, "-c", version_script]), flush=True)
        pytest_command = [venv_python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   "-W", "error::DeprecationWarning", "-W", "error::PendingDeprecationWarning"]  # fmt: skip
        lines = _output_lines([*pytest_command, *tests])
        print(*[line for line in lines if line.startswith(("FAILED", "ERROR"))], sep="\n")
        return lines[-1] if lines else "no output"


def _output_lines(command: list[str]) -> list[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def main() -> None:
    """Run the tests for each pair of Python and torch; exit with 1 if any fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", nargs="+", default=[p for p in PYTHONS if which(p)])
    parser.add_argument("--torch", nargs="+", choices=["oldest", "newest"],
                        default=["oldest", "newest"])  # fmt: skip
    parser.add_argument("--tests", nargs="+", default=list(QUICK_TESTS), help="`tests` for all")
    arguments = parser.parse_args()
    outcomes = []
    for python, torch in product(arguments.python, arguments.torch):
        outcomes.append(run_tests(python, torch, arguments.tests))
        print(f"{python}, {torch} torch: {outcomes[-1]}", flush=True)
    sys.exit(any("passed" not in line or "failed" in line or "error" in line for line in outcomes))


if __name__ == "__main__":
    main()
