"""The library of schemes, which ship with odenet as files in odenet/schemes."""

from functools import cache
from importlib.resources import files

from odenet.diagnostics import Report, Source
from odenet.language import parse, tree
from odenet.model.elaboration.made_schemes import make_scheme
from odenet.model.elaboration.scheme_reader import elaborate_scheme
from odenet.model.typed.scheme import Scheme


@cache
def library_names() -> tuple[str, ...]:
    """The names of the schemes that ship with odenet."""
    folder = files("odenet") / "schemes"
    return tuple(sorted(file.name[:-4] for file in folder.iterdir() if file.name.endswith(".ode")))


@cache
def library_text(name: str) -> str:
    """The source text of a scheme of the library."""
    return (files("odenet") / "schemes" / f"{name}.ode").read_text(encoding="utf-8")


@cache
def library_scheme(name: str) -> Scheme:
    """A scheme of the library by its name."""
    source = Source(f"odenet/schemes/{name}.ode", library_text(name))
    report = Report()
    (statement,) = parse(source, report).statements
    if isinstance(statement, tree.MadeScheme):
        scheme = make_scheme(statement, lambda n: library_scheme(n.id), _refuse_adjoint, report)
    else:
        assert isinstance(statement, tree.Scheme)
        scheme = elaborate_scheme(statement, report)
    report.raise_if_errors()
    assert scheme is not None
    return scheme


def _refuse_adjoint(scheme: Scheme) -> str:
    """Why the library has no adjoints: they need inverses, which a later stage derives."""
    return "the library has none"
