"""Settings and the `golden` fixture that all tests share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # each of several processes takes one core
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"

settings.register_profile("odenet", deadline=None)
settings.load_profile("odenet")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the recorded outputs that differ"
    )


@pytest.fixture
def golden(request):
    """A function that compares a text with the file recorded at a path under tests/golden."""

    def compare(path, text):
        recording = GOLDEN / path
        if request.config.getoption("--update-golden"):
            recording.parent.mkdir(parents=True, exist_ok=True)
            recording.write_text(text, encoding="utf-8", newline="\n")
        assert recording.is_file(), f"no recording {recording}; run pytest --update-golden"
        assert text == recording.read_text(encoding="utf-8")

    return compare
