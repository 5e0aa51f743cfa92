"""The schemes that ship as text."""

from functools import cache
from importlib.resources import files

from odenet.diagnostics import Report, Source
from odenet.language import parse, tree
from odenet.model.elaboration.made import made_scheme
from odenet.model.elaboration.schemes import elaborate_scheme
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
        scheme = made_scheme(
            statement, lambda name: library_scheme(name.id), _no_adjoint, (), report
        )
    else:
        assert isinstance(statement, tree.Scheme)
        scheme = elaborate_scheme(statement, report)
    report.check()
    assert scheme is not None
    return scheme


def _no_adjoint(scheme: Scheme) -> str:
    """Adjoints are derived, which the library is read without."""
    return "the library has none"
