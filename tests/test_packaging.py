"""A wheel, an sdist and a checkout all contain the data files: grammar, schemes and the page of errors."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Prints the file of odenet, and whether the module has the slot Y[n-1] of the midpoint rule.
SCRIPT = r"""
import odenet
text = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\ndiscretise midpoint(h = 0.1)\n"
print(odenet.__file__, "Y_prev" in odenet.loads(text).source())
"""


def build_archive(kind, source, target):
    """Build a "wheel" or "sdist" from a source folder into an empty folder; gives its path."""
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "-o", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    (archive,) = target.iterdir()
    return archive


def compiles_from(folder):
    """Whether Python, run in a folder, imports odenet from there and compiles a spec."""
    module_file, has_slot = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT],
        env={"PYTHONPATH": str(folder), "PATH": ""},
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return Path(module_file).is_relative_to(folder) and has_slot == "True"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """An sdist of this checkout."""
    return build_archive("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def test_a_wheel_compiles_specifications(tmp_path_factory):
    wheel = build_archive("wheel", ROOT, tmp_path_factory.mktemp("wheel"))
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    assert (folder / "odenet" / "grammar.lark").is_file()
    assert (folder / "odenet" / "errors.md").is_file()
    assert compiles_from(folder)


def test_a_wheel_made_from_the_sdist_compiles_specifications(sdist, tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    tarfile.open(sdist).extractall(source, filter="data")
    (unpacked,) = source.iterdir()
    assert compiles_from(unpacked)
    wheel = build_archive("wheel", unpacked, tmp_path_factory.mktemp("wheel"))
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    assert compiles_from(folder)


def test_a_checkout_compiles_specifications():
    assert compiles_from(ROOT)
