"""A short version of `tests.train.crashes`, in a process of its own, which may fork."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_run_that_was_killed_twice_ends_as_one_that_was_not():
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.train.crashes", "--kills", "2"]
    done = subprocess.run(
        [*command, "--only", "levels, average, guard"],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 wrong" in done.stdout
