"""Docstrings name what is there: each entry of `Args:` is a parameter of its function or class."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for folder in ("odenet", "tests", "bench", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "golden" not in path.parts
]
ENTRY = re.compile(r"(\*{0,2}\w[\w, *]*):(\s|$)")  # `name: …`, or `name, other: …`


def entries_of_args(docstring):
    """The names under `Args:` in a docstring."""
    lines = docstring.expandtabs().splitlines()
    if "Args:" not in map(str.strip, lines):
        return
    first = [line.strip() for line in lines].index("Args:")
    indent = len(lines[first]) - len(lines[first].lstrip())
    for line in lines[first + 1 :]:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth <= indent:
            return
        entry = ENTRY.match(line.strip())
        if entry and depth == indent + 4:
            yield from (name.strip(" *") for name in entry[1].split(","))


def parameters(node):
    """The parameters of a function, or the fields and parameters of `__init__` of a class."""
    if isinstance(node, ast.ClassDef):
        fields = {
            statement.target.id for statement in node.body if isinstance(statement, ast.AnnAssign)
        }
        methods = [
            n
            for n in node.body
            if isinstance(n, ast.FunctionDef) and n.name in ("__init__", "__new__")
        ]
        return fields.union(*map(parameters, methods))
    every = [
        *node.args.posonlyargs,
        *node.args.args,
        *node.args.kwonlyargs,
        node.args.vararg,
        node.args.kwarg,
    ]
    return {argument.arg for argument in every if argument}


def undefined_entries(path):
    """The names that docstrings of a file describe and that are not there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # a class without parameters of its own has those of its base, which is elsewhere
            known = parameters(node)
            missing = set(entries_of_args(ast.get_docstring(node) or "")) - known
            if missing and (known or not isinstance(node, ast.ClassDef)):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("folder", ["odenet", "tests", "bench", "examples"])
def test_what_a_docstring_describes_is_a_parameter(folder):
    found = [
        entry
        for path in FILES
        if path.is_relative_to(ROOT / folder)
        for entry in undefined_entries(path)
    ]
    assert not found, "\n".join(found)
