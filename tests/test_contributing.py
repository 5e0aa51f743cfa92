"""The files and names that CONTRIBUTING.md and docs/architecture.md mention exist.

So do the scripts whose commands the pages of docs show, and the public names of the package; all
files state the same version.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

import odenet
import odenet.training

ROOT = Path(__file__).parents[1]


def test_the_files_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## To add something")[2].partition("## House rules")[0]
    named = set(re.findall(r"`((?:odenet|bench|tests)(?:/[\w.]+)*)`", table))
    assert len(named) > 12  # fewer are found if the table is written in another way
    placeholder = "odenet/schemes/NAME.ode"
    missing = [path for path in named - {placeholder} if not (ROOT / path).exists()]
    assert not missing


def find_definition(body, name):
    """The statement that defines a name in a body (function, class or assignment), or None."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() if node.name == name:
                return node
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                return node
    return None


# What docs/architecture.md mentions: a file, with a name in it or "".
FILES_AND_NAMES = re.findall(
    r"`([\w/]+\.(?:py|ode|lark))(?::([\w.]+))?`", (ROOT / "docs" / "architecture.md").read_text()
)


def test_the_architecture_page_goes_through_every_stage_once_and_in_order():
    stages = re.findall(
        r"^\d\. \*\*`(\w+)`", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
    assert stages == ["language", "model", "derive", "analyse", "emit", "runtime", "training"]


@pytest.mark.parametrize(("file", "name"), FILES_AND_NAMES)
def test_a_name_on_the_architecture_page_exists(file, name):
    existing = [path for path in (ROOT / file, ROOT / "odenet" / file) if path.is_file()]
    assert existing, file
    node = ast.parse(existing[0].read_text()) if name else None
    for part in name.split(".") if name else ():
        node = find_definition(node.body, part)
        assert node is not None, name


@pytest.mark.parametrize("module", [odenet, odenet.training], ids=lambda module: module.__name__)
def test_every_public_name_exists(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    assert module.__all__ == sorted(module.__all__)
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'none'"):
        _ = module.none


def test_all_files_that_state_the_version_state_the_same():
    assert not re.search(r'^version = "', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"version: {odenet.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {odenet.__version__}" in (ROOT / "CHANGELOG.md").read_text()


PAGES = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
SHOWN_MODULES = {m for page in PAGES for m in re.findall(r"python -m ([\w.]+)", page.read_text())}
SCRIPTS = sorted(
    module
    for module in SHOWN_MODULES - {"tests.fuzz.guided"}  # which needs atheris
    if module.startswith(("tests.", "bench."))
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_whose_command_is_shown_can_be_imported(script):
    assert importlib.import_module(script)
