"""A specification while it is written: what can be said of it whatever state it is in."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import odenet
from odenet.compiler import Program
from odenet.diagnostics import Diagnostic, Report, Source, Span, SpecError
from odenet.language import canonical, tree
from odenet.language.parser import parse
from odenet.language.specs import used_files
from odenet.language.token_patterns import terminal_pattern
from odenet.model.elaboration.library import library, library_text


@dataclass(frozen=True)
class Defined:
    """A name that a file gives a meaning.

    Args:
        kind: what it is, in words.
        span: of the name, or of the statement where that could not be read.
        statement: that defines it.
    """

    kind: str
    span: Span
    statement: Span


class Document:
    """The text of a file, finished or not.

    Args:
        name: its path, which `use` starts from.
        text: with line ends of one character.
    """

    def __init__(self, name: str, text: str):
        self.source = Source(name, text)

    @cached_property
    def file(self) -> tree.File:
        """The statements that can be read."""
        return _parsed(self.source)

    @cached_property
    def used(self) -> tuple[tree.File, ...]:
        """The files that it uses, as far as they can be read."""
        try:
            return used_files(self.file, Report())
        except SpecError:
            return ()

    @property
    def brought(self) -> Iterator[tree.Let | tree.Scheme | tree.MadeScheme]:
        """What the files that it uses declare for it; the rest of them is their own."""
        for file in self.used:
            yield from file.statements_of(tree.Let)
            yield from file.statements_of(tree.Scheme)
            yield from file.statements_of(tree.MadeScheme)

    @cached_property
    def program(self) -> Program | None:
        """Compiled; None where it has errors."""
        return self._compiled[0]

    def problems(self) -> list[Diagnostic]:
        """Errors; of a file without, the warnings and the claims that do not hold."""
        program, errors = self._compiled
        if program is None:
            return errors
        failed = [claim.failure("", "warning") for claim in program.claims if not claim.holds]
        return [*program.warnings, *failed]

    @property
    def _compiled(self) -> tuple[Program | None, list[Diagnostic]]:
        return _compiled(self.source, tuple(file.span.source for file in self.used))

    def word(self, line: int, column: int) -> Span | None:
        """The name at a place, both counted from 0; None in comments and where there is none."""
        text = self.source.line(line + 1)
        begin = self.offset(line, 0)
        for match in re.finditer(terminal_pattern("NAME"), text.partition("#")[0]):
            if match.start() <= column <= match.end():
                return Span(self.source, begin + match.start(), begin + match.end())
        return None

    def offset(self, line: int, column: int) -> int:
        """The place in the text, at most at its end."""
        lines = self.source.text.split("\n")
        before = sum(len(text) + 1 for text in lines[:line])
        return min(before + column, len(self.source.text))

    def definition(self, word: Span) -> Defined | None:
        """What gives a name its meaning: a line of its scheme, of the file, or of a used one."""
        name = canonical(word.text)
        for block in self.file.statements_of(tree.Scheme):
            if block.span.start <= word.start < block.span.end:
                local = dict(_of_scheme(block))
                if name in local:
                    return local[name]
        found = names((*self.file.statements, *self.brought))
        if name in found:
            return found[name]
        return _of_library(word.text) if word.text in library() else None


def names(statements: Iterable[tree.Statement]) -> dict[str, Defined]:
    """What statements declare, by canonical name; of two declarations the first."""
    found: dict[str, Defined] = {}
    for statement in statements:
        for name, defined in _declared(statement):
            found.setdefault(name, defined)
    return found


def _named(
    kind: str, statement: tree.Node, names: Iterable[tree.Name]
) -> Iterable[tuple[str, Defined]]:
    return [(name.id, Defined(kind, name.span, statement.span)) for name in names]


def _declared(statement: tree.Statement) -> Iterable[tuple[str, Defined]]:
    match statement:
        case tree.State(names):
            return _named("unknown of the equations", statement, names)
        case tree.Param(shared, names):
            whose = "shared by all steps" if shared else "of each step its own"
            return _named(f"learned parameter, {whose}", statement, names)
        case tree.Map(_, name):
            return _named("map made of layers", statement, [name])
        case tree.Let(name):
            return _named("name for a value", statement, [name])
        case tree.Scheme(name) | tree.MadeScheme(name):
            return _named("scheme", statement, [name])
        case tree.Unparsed(kind, names):
            return [(name, Defined(kind, statement.span, statement.span)) for name in names]
        case _:
            return ()


def _of_scheme(block: tree.Scheme) -> Iterator[tuple[str, Defined]]:
    """What the lines of a scheme declare: unknowns of its own, numbers, stages."""
    for rule in reversed(block.rules):  # so that the first of several lines is what is kept
        match rule:
            case tree.Aux(names):
                yield from _named("unknown of the scheme's own", rule, names)
            case tree.Let(name):
                yield from _named("number of the scheme", rule, [name])
            case tree.Update(tree.Name() as name):
                yield from _named("stage of the step", rule, [name])
            case _:
                pass


def _of_library(name: str) -> Defined:
    path = files("odenet") / "schemes" / f"{name}.ode"
    source = Source(str(path), library_text(name))
    whole = Span(source, 0, len(source.text.rstrip()))
    return Defined("scheme of the library", whole, whole)


@lru_cache(maxsize=8)
def _parsed(source: Source) -> tree.File:
    try:
        return parse(source, Report())
    except (SpecError, RecursionError):
        return tree.File((), span=Span(source, 0, len(source.text)))


@lru_cache(maxsize=8)
def _compiled(source: Source, used: tuple[Source, ...]) -> tuple[Program | None, list[Diagnostic]]:
    """A text compiled; `used`, what the files that it uses say, is there to tell old from new."""
    try:
        return odenet.loads(source.text, name=source.name), []
    except SpecError as error:
        return None, list(error.diagnostics)
