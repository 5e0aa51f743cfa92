"""Which files import which library, and what runs without the optional libraries ("extras").

The slow tests run every command in an environment with the base installation alone.
"""

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

# Which files of odenet may import which library; a name that ends in `/` is a folder.
IMPORTERS = {
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
    "timm": {"conversion/"},  # used only if it is installed
    "torch": {"cli/", "compiler.py", "conversion/", "footprint/", "laws.py", "measures.py",
              "report/", "row_checks.py", "runtime/", "testing.py", "training/"},
    "torchdiffeq": {"runtime/"},
    "torchmetrics": {"training/"},
    "torchvision": {"conversion/", "training/"},
    "typer": {"cli/"},
}  # fmt: skip


def packages_and_extras(requirements):
    """The names of the packages in a list of requirements, and the extras in it, as `odenet[train]`."""
    names, extras = set(), set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "odenet":
            extras |= requirement.extras
        else:
            names.add(requirement.name)
    return names, extras


def packages_of_extra(name):
    """The packages that an extra installs, those of the extras that it includes among them."""
    names, extras = packages_and_extras(PROJECT["optional-dependencies"][name])
    return names.union(*map(packages_of_extra, extras))


def imported_libraries(path):
    """The top-level names of the modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def importers_by_library():
    """The files of odenet that import a library, by library."""
    importers = {}
    for path in (ROOT / "odenet").rglob("*.py"):
        relative_path = path.relative_to(ROOT / "odenet")
        for library in {*imported_libraries(path)} - sys.stdlib_module_names - {"odenet"}:
            importers.setdefault(library, set()).add(relative_path.as_posix())
    return importers


def test_each_library_is_imported_where_it_belongs():
    actual = importers_by_library()
    assert set(actual) == set(IMPORTERS)
    for library, files in actual.items():
        for file in files:
            assert any(file.startswith(allowed) for allowed in IMPORTERS[library]), (library, file)
        for allowed in IMPORTERS[library]:
            assert any(file.startswith(allowed) for file in files), (library, allowed)


def test_every_library_that_is_imported_is_declared_once():
    base, _ = packages_and_extras(PROJECT["dependencies"])
    package_names = {}
    for packages in EXTRAS.values():
        package_names |= packages  # by the name under which each is imported
    declared = base.union(*map(packages_of_extra, PROJECT["optional-dependencies"]))
    for library in set(IMPORTERS) - {"timm"}:
        assert package_names.get(library, library) in declared
    assert not base & set(package_names.values())


def test_the_extras_have_the_packages_that_odenet_asks_of_them():
    for name, packages in EXTRAS.items():
        assert set(packages.values()) <= packages_of_extra(name), name
    assert packages_of_extra("train") == set(EXTRAS["train"].values())
    included = packages_of_extra("adaptive") | packages_of_extra("train")
    assert included <= packages_of_extra("test") <= packages_of_extra("dev")


def test_missing_packages_are_named_in_one_line(monkeypatch):
    monkeypatch.setitem(EXTRAS, "train", {"no_such_a": "a", "json": "json", "no_such_b": "b"})
    with pytest.raises(MissingLibraries) as caught:
        require("train", "odenet fly")
    line = "odenet fly needs a and b, which are not installed: pip install '.[train]' in a clone of odenet"
    assert str(caught.value) == line
    require("train", "odenet fly", "json")
    with pytest.raises(ImportError, match="needs a, which is not installed"):
        require("train", "odenet fly", "no_such_a")


# --- an environment with the base installation alone ------------------------------------------------

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
# Of the commands above, those that need an extra, and which one.
EXTRA_NEEDED = {"lsp": "editor", "plot stability rk4": "report",
          "check neural_ode.ode": "adaptive", "train digits.ode": "train",
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

commands = {}
for command in json.loads(sys.argv[1]):
    sys.argv[1:] = command
    code, output, errors = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    commands[" ".join(command)] = (code, output.getvalue(), errors.getvalue())

import torch, digits, odenet

network = digits.DigitsNetwork()
network(torch.randn(2, 1, 8, 8)).sum().backward()
gradients = all(p.grad is not None for p in network.parameters())
messages = []
for module, name in (("odenet.training", "train"), ("odenet.testing", "maps")):
    try:
        getattr(import_module(module), name)
    except ImportError as error:
        messages.append(str(error))
print(json.dumps({"commands": commands, "gradients": gradients, "messages": messages}))
"""


def collect_distributions(requirements, distributions):
    """Add the installed distributions that some requirements need, directly or not, by their names."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        environments = [{"extra": chosen} for chosen in ("", *requirement.extras)]
        marker = requirement.marker
        if name in distributions or (marker and not marker.evaluate({"extra": ""})):
            continue
        try:
            distributions[name] = distribution(name)
        except PackageNotFoundError:  # it is for another platform
            continue
        dependencies = distributions[name].requires or []
        for dependency in map(Requirement, dependencies):
            if dependency.marker is None or any(map(dependency.marker.evaluate, environments)):
                dependency.marker = None
                collect_distributions([str(dependency)], distributions)
    return distributions


@pytest.fixture(scope="module")
def base_installation(tmp_path_factory):
    """A folder of links to the packages that `pip install odenet` installs, and to no others."""
    folder = tmp_path_factory.mktemp("base")
    for installed in collect_distributions(PROJECT["dependencies"], {}).values():
        names = {file.parts[0] for file in installed.files or () if file.parts[0] != ".."}
        for name in names - {"__pycache__"}:
            link, target = folder / name, Path(str(installed.locate_file(name)))
            if target.exists() and not link.exists():
                link.symlink_to(target)
    return folder


@pytest.fixture(scope="module")
def outcomes(base_installation, tmp_path_factory):
    """What `SCRIPT` prints where only the base installation can be imported."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("digits", "neural_ode"):
        (folder / f"{name}.ode").write_text((ROOT / "specs" / f"{name}.ode").read_text())
    result = subprocess.run(  # -S: without site-packages
        [sys.executable, "-S", "-c", SCRIPT, json.dumps(COMMANDS)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT, base_installation))),
        },
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_base_compiles_checks_and_measures(outcomes):
    for command, (code, _, errors) in outcomes["commands"].items():
        if command not in EXTRA_NEEDED:
            assert code == 0, (command, errors)
    outputs = {command: output for command, (_, output, _) in outcomes["commands"].items()}
    assert "proved" in outputs["check digits.ode"]
    assert "MiB" in outputs["memory digits.ode"]


@pytest.mark.slow
def test_a_generated_module_trains_with_the_base(outcomes):
    assert outcomes["gradients"]


@pytest.mark.slow
@pytest.mark.parametrize("command", EXTRA_NEEDED)
def test_a_command_names_what_it_needs_and_the_line_that_installs_it(outcomes, command):
    code, output, errors = outcomes["commands"][command]
    assert (code, output) == (1, "")
    message, help_ = errors.strip().split("\n")
    assert message.startswith("error[missing-library]: ") and message.endswith("not installed")
    assert help_ == f"  = help: pip install '.[{EXTRA_NEEDED[command]}]' in a clone of odenet"


def test_every_command_is_tried_without_the_extras():
    from odenet.cli import app

    assert {command.name for command in app.registered_commands} == {
        command[0] for command in COMMANDS if command != ["--version"]
    }


@pytest.mark.slow
def test_functions_name_what_they_need_and_the_line_that_installs_it(outcomes):
    training, testing = outcomes["messages"]
    assert training.startswith("odenet.training.train needs lightning, matplotlib, pillow, ")
    assert training.endswith("which are not installed: pip install '.[train]' in a clone of odenet")
    assert testing.startswith("odenet.testing needs hypothesis, which is not installed: ")


def test_importing_odenet_loads_no_library():
    script = (
        "import sys, odenet, odenet.training; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["__main__", "odenet"]
