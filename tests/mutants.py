"""Mutation testing: puts small faults into one file, one at a time, and runs its tests on each.

    python -m tests.mutants odenet/derive/order.py --tests tests/derive/test_order.py --count 20

Operators and comparisons are exchanged, `not` is dropped, 1 is added to numbers, conditions are
negated. The tests run in a copy of the project. Faults that no test notices are printed.
"""

import argparse
import ast
import copy
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

import pytest
import sympy  # noqa: F401  # imported once, and not by each test run
import torch  # noqa: F401

ROOT = Path(__file__).parents[1]
REPLACEMENTS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
         ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
         ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
         ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And}  # fmt: skip


def mutate(node: ast.AST) -> ast.AST | None:
    """A copy of a syntax node with one small fault; None if this kind of node is left alone."""
    changed = copy.deepcopy(node)
    match changed:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if (
            type(op) in REPLACEMENTS
        ):
            changed.op = REPLACEMENTS[type(op)]()
        case ast.Compare(ops=[op, *other_operators]) if type(op) in REPLACEMENTS:
            changed.ops = [REPLACEMENTS[type(op)](), *other_operators]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=inner):
            return inner
        case ast.Constant(value=bool(value)):
            changed.value = not value
        case ast.Constant(value=int() | float() as value):
            changed.value = value + 1
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            changed.test = ast.UnaryOp(ast.Not(), test)
        case _:
            return None
    return changed


def mutants(text: str) -> Iterator[tuple[int, str, str, str]]:
    """For each fault that a text can have: its line, the old and new code there, the whole new text."""
    for index, node in enumerate(ast.walk(ast.parse(text))):
        new = mutate(node)
        if new is not None:
            tree = ast.parse(text)
            target = list(ast.walk(tree))[index]
            line, old = target.lineno, ast.unparse(target).split("\n")[0]
            target.__class__ = new.__class__
            target.__dict__ = new.__dict__
            yield line, old, ast.unparse(new).split("\n")[0], ast.unparse(tree)


def tests_pass(folder: Path, tests: list[str], seconds: int) -> bool:
    """Whether the tests pass in a copy of the project, run in a forked process within a time limit."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)  # a fault that makes a loop endless counts as noticed
        sys.dont_write_bytecode = True  # a file changes more than once in a second
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in ("odenet", "tests")]:
            del sys.modules[name]
        code = 1
        with suppress(BaseException):
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    return status == 0


def main() -> None:
    """Put a sample of faults into a file, and print those that its tests do not notice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument(
        "--count", type=int, default=20, help="number of faults, which are drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=int, default=600, help="time limit of the tests for one fault"
    )
    arguments = parser.parse_args()
    text = (ROOT / arguments.file).read_text(encoding="utf-8")
    candidates = list(mutants(text))
    chosen = Random(arguments.seed).sample(candidates, min(arguments.count, len(candidates)))
    survived = 0
    with TemporaryDirectory() as folder:
        project_copy = Path(folder) / "copy"
        copytree(ROOT, project_copy, ignore=ignore_patterns(".*", "__pycache__", "runs"))
        assert tests_pass(project_copy, arguments.tests, arguments.seconds), (
            "the tests fail without a fault"
        )
        for line, old, new, code in sorted(chosen):
            (project_copy / arguments.file).write_text(code, encoding="utf-8")
            if tests_pass(project_copy, arguments.tests, arguments.seconds):
                survived += 1
                print(f"{arguments.file}:{line}: {old}  ->  {new}", flush=True)
    print(
        f"{arguments.file}: {len(chosen)} of {len(candidates)} faults, {survived} unnoticed",
        flush=True,
    )


if __name__ == "__main__":
    main()
