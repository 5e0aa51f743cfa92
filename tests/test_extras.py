"""What works without the extras, and what is said where one of them is needed."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from odenet.extras import EXTRAS, MissingLibraries, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Which part of odenet may import which library, one line for each; `…/` is a folder. The first part is
# where it belongs, and no other line names it again.
USERS = {
    "hypothesis": {"testing.py"},
    "interegular": {"language/check_grammar.py"},
    "jinja2": {"report/"},
    "lark": {"language/"},
    "latex2mathml": {"emit/"},
    "lightning": {"training/"},
    "lsprotocol": {"editor/"},
    "onnxruntime": {"training/"},
    "matplotlib": {"training/", "report/"},
    "mpmath": {"analyse/", "derive/"},
    "numpy": {"analyse/", "confirm/", "derive/", "report/", "row_checks.py", "runtime/", "training/",
              "verify.py"},
    "PIL": {"training/", "report/"},
    "pygments": {"highlight.py", "report/"},
    "pygls": {"editor/"},
    "rich": {"cli/", "footprint/", "training/", "rich_tables.py"},
    "safetensors": {"conversion/", "training/"},
    "scipy": {"training/"},
    "sklearn": {"training/"},
    "sympy": {"analyse/", "derive/"},
    "tokenizers": {"training/"},
    "timm": {"conversion/"},  # where it is installed
    "torch": {"cli/", "compiler.py", "conversion/", "footprint/", "laws.py", "measures.py",
              "report/", "row_checks.py", "runtime/", "testing.py", "training/"},
    "torchdiffeq": {"runtime/"},
    "torchmetrics": {"training/"},
    "torchvision": {"conversion/", "training/"},
    "typer": {"cli/"},
}  # fmt: skip


def packages(requirements):
    """Names of packages, and of the extras of odenet that they ask for."""
    found, others = set(), set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "odenet":
            others |= requirement.extras
        else:
            found.add(requirement.name)
    return found, others


def extra(name):
    """Every package of an extra, with those of the extras that it includes."""
    found, others = packages(PROJECT["optional-dependencies"][name])
    return found.union(*map(extra, others))


def imported(path):
    """The libraries that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def users_of_libraries():
    found = {}
    for path in (ROOT / "odenet").rglob("*.py"):
        place = path.relative_to(ROOT / "odenet")
        for library in {*imported(path)} - sys.stdlib_module_names - {"odenet"}:
            found.setdefault(library, set()).add(place.as_posix())
    return found


def test_each_library_is_imported_where_it_belongs():
    found = users_of_libraries()
    assert set(found) == set(USERS)
    for library, places in found.items():
        for place in places:
            assert any(place == user or place.startswith(user) for user in USERS[library]), place
        for user in USERS[library]:
            assert any(place == user or place.startswith(user) for place in places), user


def test_every_library_that_is_imported_is_declared_once():
    base, _ = packages(PROJECT["dependencies"])
    names = {module: package for row in EXTRAS.values() for module, package in row.items()}
    declared = base.union(*map(extra, PROJECT["optional-dependencies"]))
    for library in set(USERS) - {"timm"}:
        assert names.get(library, library) in declared
    assert not base & {package for row in EXTRAS.values() for package in row.values()}


def test_the_extras_hold_what_is_asked_of_them():
    for name, row in EXTRAS.items():
        assert set(row.values()) <= extra(name), name
    assert extra("train") == set(EXTRAS["train"].values())
    assert extra("adaptive") | extra("train") <= extra("test") <= extra("dev")


def test_what_is_missing_is_named_in_one_line(monkeypatch):
    monkeypatch.setitem(EXTRAS, "train", {"no_such_a": "a", "json": "json", "no_such_b": "b"})
    with pytest.raises(MissingLibraries) as caught:
        require("train", "odenet fly")
    line = "odenet fly needs a and b, which are not installed: pip install '.[train]' in a clone of odenet"
    assert str(caught.value) == line
    require("train", "odenet fly", "json")
    with pytest.raises(ImportError, match="needs a, which is not installed"):
        require("train", "odenet fly", "no_such_a")


# --- an environment that has the base alone ---------------------------------------------------------

COMMANDS = [
    ["--version"],
    ["compile", "digits.ode"],
    ["compile", "neural_ode.ode"],
    ["check", "digits.ode"],
    ["verify", "digits.certificate.json"],
    ["schemes"],
    ["new", "mine", "--like", "momentum"],
    ["explain", "unknown-name"],
    ["fmt", "--check", "digits.ode"],
    ["memory", "digits.ode"],
    ["report", "digits.ode"],
    ["plot", "stability", "rk4"],
    ["lsp"],
    ["watch", "digits.ode"],
    ["check", "neural_ode.ode"],
    ["train", "digits.ode"],
    ["train", "--resume", "runs/digits-1"],
    ["eval", "runs/digits-1"],
    ["compare", "runs/digits-1", "runs/digits-2"],
    ["study", "runs/digits-1"],
    ["predict", "runs/digits-1", "one.png"],
    ["sample", "runs/bytes-1", "--prompt", "def "],
    ["export", "runs/digits-1", "-o", "digits.pt2"],
    ["convert", "resnet18", "--weights", "none"],
    ["bench"],
]
NEEDED = {"lsp": "editor", "plot stability rk4": "report", "check neural_ode.ode": "adaptive", "train digits.ode": "train",
          "report digits.ode": "report", "watch digits.ode": "report",
          "train --resume runs/digits-1": "train", "eval runs/digits-1": "train",
          "compare runs/digits-1 runs/digits-2": "train", "study runs/digits-1": "train",
          "predict runs/digits-1 one.png": "train",
          "sample runs/bytes-1 --prompt def ": "train",
          "export runs/digits-1 -o digits.pt2": "train",
          "convert resnet18 --weights none": "train", "bench": "bench"}  # fmt: skip

SCRIPT = r"""
import contextlib, io, json, sys
from importlib import import_module
from odenet import cli

done = {}
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    code, output, errors = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    done[" ".join(command)] = (code, output.getvalue(), errors.getvalue())

import torch, digits, odenet

network = digits.DigitsNetwork()
network(torch.randn(2, 1, 8, 8)).sum().backward()
gradients = all(p.grad is not None for p in network.parameters())
said = []
for module, name in (("odenet.training", "train"), ("odenet.testing", "maps")):
    try:
        getattr(import_module(module), name)
    except ImportError as error:
        said.append(str(error))
print(json.dumps([done, gradients, said]))
"""


def closure(requirements, found):
    """The distributions that some requirements bring with them."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        wanted = [{"extra": chosen} for chosen in ("", *requirement.extras)]
        marker = requirement.marker
        if name in found or (marker and not marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another platform
            continue
        own = found[name].requires or []
        for needed in map(Requirement, own):
            if needed.marker is None or any(map(needed.marker.evaluate, wanted)):
                needed.marker = None
                closure([str(needed)], found)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder of links to what `pip install odenet` brings, and to nothing else."""
    folder = tmp_path_factory.mktemp("base")
    for installed in closure(PROJECT["dependencies"], {}).values():
        tops = {file.parts[0] for file in installed.files or () if file.parts[0] != ".."}
        for top in tops - {"__pycache__"}:
            link, there = folder / top, Path(str(installed.locate_file(top)))
            if there.exists() and not link.exists():
                link.symlink_to(there)
    return folder


@pytest.fixture(scope="module")
def done(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    for name in ("digits", "neural_ode"):
        (folder / f"{name}.ode").write_text((ROOT / "specs" / f"{name}.ode").read_text())
    ran = subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT, json.dumps(COMMANDS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT, base)))},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_base_compiles_checks_and_measures(done):
    for command, (code, _, errors) in done[0].items():
        if command not in NEEDED:
            assert code == 0, (command, errors)
    assert "proved" in done[0]["check digits.ode"][1]
    assert "MiB" in done[0]["memory digits.ode"][1]


@pytest.mark.slow
def test_a_generated_module_trains_with_the_base(done):
    assert done[1]


@pytest.mark.slow
@pytest.mark.parametrize("command", NEEDED)
def test_a_command_names_what_it_needs_and_the_line_that_installs_it(done, command):
    code, output, errors = done[0][command]
    assert (code, output) == (1, "")
    message, help_ = errors.strip().split("\n")
    assert message.startswith("error[missing-library]: ") and message.endswith("not installed")
    assert help_ == f"  = help: pip install '.[{NEEDED[command]}]' in a clone of odenet"


def test_every_command_is_tried_without_the_extras():
    from odenet.cli import app

    assert {command.name for command in app.registered_commands} == {
        command[0] for command in COMMANDS if command != ["--version"]
    }


@pytest.mark.slow
def test_functions_name_what_they_need_and_the_line_that_installs_it(done):
    training, testing = done[2]
    assert training.startswith("odenet.training.train needs lightning, matplotlib, pillow, ")
    assert training.endswith("which are not installed: pip install '.[train]' in a clone of odenet")
    assert testing.startswith("odenet.testing needs hypothesis, which is not installed: ")


def test_importing_odenet_loads_no_library():
    script = (
        "import sys, odenet, odenet.training; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["__main__", "odenet"]
