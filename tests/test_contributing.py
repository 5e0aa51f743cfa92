"""What CONTRIBUTING.md says about where things are."""

import re
from pathlib import Path

import odenet

ROOT = Path(__file__).parents[1]


def test_the_files_that_one_adds_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## To add something")[2].partition("## House rules")[0]
    named = set(re.findall(r"`((?:odenet|bench|tests)(?:/[\w.]+)*)`", table))
    assert len(named) > 12
    missing = [path for path in named - {"odenet/schemes/NAME.ode"} if not (ROOT / path).exists()]
    assert not missing


def test_every_public_name_is_there():
    for name in odenet.__all__:
        assert getattr(odenet, name) is not None
    assert odenet.__all__ == sorted(odenet.__all__)


def test_the_version_has_one_home():
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"version: {odenet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {odenet.__version__}" in (ROOT / "CHANGELOG.md").read_text()
