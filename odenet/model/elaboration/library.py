"""The schemes that ship as text."""

from functools import cache
from importlib.resources import files

from odenet.diagnostics import Report, Source
from odenet.language import parse, tree
from odenet.model.elaboration.made import Maker
from odenet.model.elaboration.schemes import SchemeReader, elaborate_scheme
from odenet.model.typed.scheme import Scheme


@cache
def library() -> tuple[str, ...]:
    """The names of the schemes that ship with odenet."""
    folder = files("odenet") / "schemes"
    return tuple(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".ode")))


@cache
def library_text(name: str) -> str:
    """The file of one of them."""
    return (files("odenet") / "schemes" / f"{name}.ode").read_text(encoding="utf-8")


@cache
def library_scheme(name: str) -> Scheme:
    """One scheme of the library."""
    source = Source(f"odenet/schemes/{name}.ode", library_text(name))
    report = Report()
    (statement,) = parse(source, report).statements
    if isinstance(statement, tree.MadeScheme):
        scheme = _made(statement, report)
    else:
        assert isinstance(statement, tree.Scheme)
        scheme = elaborate_scheme(statement, report)
    report.check()
    assert scheme is not None
    return scheme


def _made(statement: tree.MadeScheme, report: Report) -> Scheme:
    scope = SchemeReader(statement.block, report)
    constants = dict(scope.read_constants())
    maker = Maker(lambda name: library_scheme(name.id), _no_adjoint, scope, report)
    return maker.scheme(statement.value, statement.name.id, constants)


def _no_adjoint(scheme: Scheme) -> str:
    """Adjoints are derived, which the library is read without."""
    return "the library has none"
