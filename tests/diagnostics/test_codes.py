"""Every diagnostic has a code, and the example of each code in docs/errors.md produces it."""

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
from tests.language.spec_texts import ROOT

DIFF_BLOCK = re.compile(r"```diff\n(.*?)```", re.DOTALL)
CONSOLE_COMMAND = re.compile(r"```console\n\$ odenet (.*?)\n```")
WITHOUT_EXAMPLE = {  # an example would need a run, a machine or an installation
    "not-resumable", "not-possible", "diverged", "missing-library", "bad-option",
}  # fmt: skip
DIAGNOSTIC_MAKERS = {  # what odenet calls to make a diagnostic
    "Diagnostic", "SpecError.of", "report.error", "report.reject", "self.report.error",
    "self.report.reject",
}  # fmt: skip


def dotted_name(node):
    """The dotted name of a called function, such as `self.report.error`."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            return f"{dotted_name(value)}.{name}"
    return ""


def diagnostic_calls():
    """The location and syntax tree of each call that makes a diagnostic.

    Methods with a parameter of the type Code pass a code on, so calls of them count as well; in
    `emit`, Code is another type, of generated code.
    """
    for path in sorted((ROOT / "odenet").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        passing_methods = {
            f"self.{node.name}" for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and "emit" not in path.parts
            and any(a.annotation and ast.unparse(a.annotation) == "Code" for a in node.args.args)
        }  # fmt: skip
        makers = DIAGNOSTIC_MAKERS | passing_methods
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and dotted_name(node.func) in makers:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def is_code(node):
    """Whether the syntax tree of an argument is a code, or an expression that gives one."""
    match node:
        case ast.Constant(value):
            return value in CODES
        case ast.Name("code") | ast.Attribute(attr="code"):
            return True
        case ast.Subscript(ast.Name("ERROR_CODES")):  # the codes of claims
            return True
        case ast.Starred(ast.Call(ast.Attribute(ast.Name("messages")))):  # gives a code and texts
            return True
    return False


def test_every_diagnostic_is_made_with_a_code():
    calls = list(diagnostic_calls())
    assert len(calls) > 250  # the search finds them
    # The code is the first argument, or the second if a method passes it on.
    assert [location for location, call in calls if not any(map(is_code, call.args[:2]))] == []


def joined_sources(*excluded):
    """The text of all source files of odenet but those with an excluded name."""
    files = (path for path in (ROOT / "odenet").rglob("*.py") if path.name not in excluded)
    return "".join(path.read_text(encoding="utf-8") for path in files)


def test_every_code_is_used():
    text = joined_sources("codes.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_every_kind_of_training_error_has_a_code_and_is_made():
    text = joined_sources("errors.py")
    kinds = TrainingError.__subclasses__()
    assert len(kinds) > 8
    assert [kind for kind in kinds if kind.code not in CODES] == []
    assert [kind for kind in kinds if f" {kind.__name__}(" not in text] == []


def test_every_code_has_an_entry_in_the_same_order():
    assert list(error_entries()) == list(CODES)
    examples = {
        code
        for code, text in error_entries().items()
        if DIFF_BLOCK.search(text) or CONSOLE_COMMAND.search(text)
    }
    assert set(CODES) - examples == WITHOUT_EXAMPLE


def codes(text):
    """The codes of all warnings, failed claims and errors of a specification."""
    diagnostics = []
    try:
        program = loads(text)
        diagnostics += [*program.warnings, *(c.failure() for c in program.claims if not c.holds)]
        program.source()
        if "net = " in text:
            require_memory(program, batch=1)
        if "given" in text:  # a map `given` from Python is asked for when the network is built
            program.network()
    except SpecError as error:
        diagnostics += error.diagnostics
    return [diagnostic.code for diagnostic in diagnostics]


@pytest.mark.parametrize(
    "code", [code for code, text in error_entries().items() if DIFF_BLOCK.search(text)]
)
def test_an_example_gives_its_code_and_the_cure_gives_none(code, monkeypatch):
    monkeypatch.chdir(ROOT)
    (block,) = DIFF_BLOCK.findall(error_entries()[code])
    lines = block.splitlines()
    faulty = "\n".join(line[2:] for line in lines if not line.startswith("+"))
    mended = "\n".join(line[2:] for line in lines if not line.startswith("-"))
    if code == "missing-net":  # only commands that need a network ask for one
        with pytest.raises(SpecError) as caught:
            loads(faulty).require_network()
        assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
        loads(mended).require_network()
        return
    assert code in codes(faulty)
    assert codes(mended) == []


@pytest.mark.parametrize(
    "code", [code for code, text in error_entries().items() if CONSOLE_COMMAND.search(text)]
)
def test_a_command_gives_its_code(code, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (command,) = CONSOLE_COMMAND.findall(error_entries()[code])
    arguments = shlex.split(command.replace("OUT", str(tmp_path / "run")))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SpecError)
    assert [diagnostic.code for diagnostic in result.exception.diagnostics] == [code]


def test_a_code_is_explained_and_a_wrong_one_corrected():
    explained = CliRunner().invoke(app, ["explain", "unknown-name"])
    assert explained.exit_code == 0 and explained.output.startswith("unknown-name\n\n")
    assert "+ Y' = relu(K Y)" in explained.output
    corrected = CliRunner().invoke(app, ["explain", "unknown-nam"])
    assert corrected.exit_code == 2 and "unknown-name" in corrected.output
    assert CliRunner().invoke(app, ["explain"]).output.split() == list(CODES)
