"""What CONTRIBUTING.md and docs/architecture.md say about where things are."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import odenet
import odenet.training

ROOT = Path(__file__).parents[1]


def test_the_files_that_one_adds_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## To add something")[2].partition("## House rules")[0]
    named = set(re.findall(r"`((?:odenet|bench|tests)(?:/[\w.]+)*)`", table))
    assert len(named) > 12
    missing = [path for path in named - {"odenet/schemes/NAME.ode"} if not (ROOT / path).exists()]
    assert not missing


def defined(body, name):
    """What defines a name in a body: a function, a class or an assignment; None if nothing does."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() if node.name == name:
                return node
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return node
    return None


PLACES = re.findall(
    r"`([\w/]+\.(?:py|ode|lark))(?::([\w.]+))?`", (ROOT / "docs" / "architecture.md").read_text()
)


def test_the_walk_goes_through_every_stage_once_and_in_order():
    stages = re.findall(
        r"^\d\. \*\*`(\w+)`", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
    assert stages == ["language", "model", "derive", "analyse", "emit", "runtime", "training"]


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_a_name_of_the_architecture_is_there(file, name):
    found = [path for path in (ROOT / file, ROOT / "odenet" / file) if path.is_file()]
    assert found, file
    node = ast.parse(found[0].read_text()) if name else None
    for part in name.split(".") if name else ():
        node = defined(node.body, part)
        assert node is not None, name


@pytest.mark.parametrize("module", [odenet, odenet.training], ids=lambda module: module.__name__)
def test_every_public_name_is_there(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    assert module.__all__ == sorted(module.__all__)
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'none'"):
        _ = module.none


def test_the_version_has_one_home():
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"version: {odenet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {odenet.__version__}" in (ROOT / "CHANGELOG.md").read_text()


COMMANDS = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
SCRIPTS = {m for page in COMMANDS for m in re.findall(r"python -m ([\w.]+)", page.read_text())}
SCRIPTS = sorted(m for m in SCRIPTS if m.startswith(("tests.", "bench.")) and "guided" not in m)


@pytest.mark.parametrize("script", SCRIPTS)  # but that which needs atheris
def test_a_script_that_is_named_with_its_command_can_be_begun(script):
    assert importlib.import_module(script)
