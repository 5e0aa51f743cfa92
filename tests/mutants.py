"""Whether tests notice small faults: changes one file at a time, and runs the tests given for it.

    python -m tests.mutants odenet/derive/order.py --tests tests/derive/test_order.py --count 20

Comparisons and operators are exchanged, `not` is dropped, numbers grow by 1, conditions are turned.
The tests run in a copy of the project. What survives is printed, to be read.
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
OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
         ast.Pow: ast.Mult, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
         ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
         ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And}  # fmt: skip


def mutated(node: ast.AST) -> ast.AST | None:
    """The node with one small fault; None where there is none to make."""
    changed = copy.deepcopy(node)
    match changed:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in OTHER:
            changed.op = OTHER[type(op)]()
        case ast.Compare(ops=[op, *rest]) if type(op) in OTHER:
            changed.ops = [OTHER[type(op)](), *rest]
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
    """Line, the old code, the new one, and the whole file, for each fault that can be made."""
    for index, node in enumerate(ast.walk(ast.parse(text))):
        new = mutated(node)
        if new is not None:
            tree = ast.parse(text)
            place = list(ast.walk(tree))[index]
            line, old = place.lineno, ast.unparse(place).split("\n")[0]
            place.__class__ = new.__class__
            place.__dict__ = new.__dict__
            yield line, old, ast.unparse(new).split("\n")[0], ast.unparse(tree)


def passes(folder: Path, tests: list[str], seconds: int) -> bool:
    """Whether the tests pass in a copy of the project, in a process of their own."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)  # what never ends is noticed
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
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    """Make faults in a file, and say which of them nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=20, help="faults, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=600, help="for the tests of one fault")
    given = parser.parse_args()
    text = (ROOT / given.file).read_text(encoding="utf-8")
    found = list(mutants(text))
    chosen = Random(given.seed).sample(found, min(given.count, len(found)))
    survived = 0
    with TemporaryDirectory() as folder:
        copied = Path(folder) / "copy"
        copytree(ROOT, copied, ignore=ignore_patterns(".*", "__pycache__", "runs"))
        assert passes(copied, given.tests, given.seconds), "the tests fail without a fault"
        for line, old, new, code in sorted(chosen):
            (copied / given.file).write_text(code, encoding="utf-8")
            if passes(copied, given.tests, given.seconds):
                survived += 1
                print(f"{given.file}:{line}: {old}  ->  {new}", flush=True)
    print(f"{given.file}: {len(chosen)} of {len(found)} faults, {survived} unnoticed", flush=True)


if __name__ == "__main__":
    main()
