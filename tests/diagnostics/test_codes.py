"""Every diagnostic has a code, and docs/errors.md has an entry for each, whose example gives it."""

import ast
import re
import shlex

import pytest
from typer.testing import CliRunner

from odenet.cli import app
from odenet.compiler import loads
from odenet.diagnostics import CODES, SpecError
from odenet.diagnostics.error_page import error_entries
from odenet.memory_limit import require_memory
from odenet.training.errors import TrainingError
from tests.language.texts import ROOT

DIFF = re.compile(r"```diff\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"```console\n\$ odenet (.*?)\n```")
TOLD = {  # their examples take a run, a machine or an installation
    "not-resumable", "not-possible", "diverged", "missing-library", "bad-option",
}  # fmt: skip
MAKES = {
    "Diagnostic", "SpecError.of", "report.error", "report.reject", "self.report.error",
    "self.report.reject",
}  # fmt: skip


def called(node):
    """`self.report.error`, of what is called."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            return f"{called(value)}.{name}"
    return ""


def made():
    """Each call that makes a diagnostic, with its place, and the names of those who pass codes on."""
    for path in sorted((ROOT / "odenet").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        passing = {
            f"self.{node.name}" for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and "emit" not in path.parts
            and any(a.annotation and ast.unparse(a.annotation) == "Code" for a in node.args.args)
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node.func) in MAKES | passing:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def is_code(node):
    match node:
        case ast.Constant(value):
            return value in CODES
        case ast.Name("code") | ast.Attribute(attr="code"):
            return True
        case ast.Subscript(ast.Name("CODES")):  # of claims
            return True
        case ast.Starred(ast.Call(ast.Attribute(ast.Name("messages")))):  # of a type that has one
            return True
    return False


def test_every_diagnostic_is_made_with_a_code():
    calls = list(made())
    assert len(calls) > 250
    assert [place for place, call in calls if not any(map(is_code, call.args[:2]))] == []


def sources(*but):
    files = (path for path in (ROOT / "odenet").rglob("*.py") if path.name not in but)
    return "".join(path.read_text(encoding="utf-8") for path in files)


def test_every_code_is_used():
    text = sources("codes.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_every_kind_of_training_error_has_a_code_and_is_made():
    text = sources("errors.py")
    kinds = TrainingError.__subclasses__()
    assert len(kinds) > 8
    assert [kind for kind in kinds if kind.code not in CODES] == []
    assert [kind for kind in kinds if f" {kind.__name__}(" not in text] == []


def test_every_code_has_an_entry_in_the_same_order():
    assert list(error_entries()) == list(CODES)
    examples = {
        code for code, text in error_entries().items() if DIFF.search(text) or COMMAND.search(text)
    }
    assert set(CODES) - examples == TOLD


def found(text):
    """The codes of all that is said about a spec."""
    said = []
    try:
        program = loads(text)
        said += [*program.warnings, *(c.failure() for c in program.claims if not c.holds)]
        program.source()
        if "net = " in text:
            require_memory(program, 1)
        if "given" in text:
            program.network()
    except SpecError as error:
        said += error.diagnostics
    return [diagnostic.code for diagnostic in said]


@pytest.mark.parametrize(
    "code", [code for code, text in error_entries().items() if DIFF.search(text)]
)
def test_an_example_gives_its_code_and_the_cure_gives_none(code, monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = DIFF.findall(error_entries()[code])
    lines = block.splitlines()
    wrong = "\n".join(line[2:] for line in lines if not line.startswith("+"))
    right = "\n".join(line[2:] for line in lines if not line.startswith("-"))
    if code == "missing-net":
        with pytest.raises(SpecError) as caught:
            loads(wrong).require_network()
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
        loads(right).require_network()
        return
    assert code in found(wrong)
    assert found(right) == []


@pytest.mark.parametrize(
    "code", [code for code, text in error_entries().items() if COMMAND.search(text)]
)
def test_a_command_gives_its_code(code, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (command,) = COMMAND.findall(error_entries()[code])
    arguments = shlex.split(command.replace("OUT", str(tmp_path / "run")))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SpecError)
    assert [diagnostic.code for diagnostic in result.exception.diagnostics] == [code]


def test_a_code_is_explained_and_a_wrong_one_corrected():
    shown = CliRunner().invoke(app, ["explain", "unknown-name"])
    assert shown.exit_code == 0 and shown.output.startswith("unknown-name\n\n")
    assert "+ Y' = relu(K Y)" in shown.output
    wrong = CliRunner().invoke(app, ["explain", "unknown-nam"])
    assert wrong.exit_code == 2 and "unknown-name" in wrong.output
    assert CliRunner().invoke(app, ["explain"]).output.split() == list(CODES)
