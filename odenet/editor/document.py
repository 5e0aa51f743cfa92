"""A file open in an editor, which may be incomplete: its syntax, errors and definitions."""

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
from odenet.model.elaboration.library import library_names, library_text


@dataclass(frozen=True)
class Definition:
    """The definition of a name.

    Args:
        kind: what the name is, in words.
        span: the span of the name, or of the statement if that has a syntax error.
        statement: the span of the statement that defines it.
    """

    kind: str
    span: Span
    statement: Span


class Document:
    """The text of a file, which may be incomplete.

    Args:
        name: its path, to which paths in `use` are relative.
        text: its text, in which a line ends with a line feed alone.
    """

    def __init__(self, name: str, text: str):
        self.source = Source(name, text)

    @cached_property
    def file(self) -> tree.File:
        """The syntax tree, without the statements that cannot be parsed."""
        return _parsed(self.source)

    @cached_property
    def imported_files(self) -> tuple[tree.File, ...]:
        """The files that it uses; none if one of them cannot be read."""
        try:
            return used_files(self.file, Report())
        except SpecError:
            return ()

    @property
    def imported_statements(self) -> Iterator[tree.Let | tree.Scheme | tree.MadeScheme]:
        """The lets and schemes of the files that it uses, which `use` brings in."""
        for file in self.imported_files:
            yield from file.statements_of(tree.Let)
            yield from file.statements_of(tree.Scheme)
            yield from file.statements_of(tree.MadeScheme)

    @cached_property
    def program(self) -> Program | None:
        """The compiled program; None if the file has errors."""
        return self._compiled[0]

    def problems(self) -> list[Diagnostic]:
        """The errors; of a file without errors, its warnings and the claims that do not hold."""
        program, errors = self._compiled
        if program is None:
            return errors
        unproved = [claim.failure("", "warning") for claim in program.claims if not claim.holds]
        return [*program.warnings, *unproved]

    @property
    def _compiled(self) -> tuple[Program | None, list[Diagnostic]]:
        return _compile(self.source, tuple(file.span.source for file in self.imported_files))

    def word(self, line: int, column: int) -> Span | None:
        """The name at a line and column, counted from 0; None if there is none, or in a comment."""
        text = self.source.line(line + 1)
        line_start = self.offset(line, 0)
        for match in re.finditer(terminal_pattern("NAME"), text.partition("#")[0]):
            if match.start() <= column <= match.end():
                return Span(self.source, line_start + match.start(), line_start + match.end())
        return None

    def offset(self, line: int, column: int) -> int:
        """The offset in the text of a line and column, counted from 0; at most its length."""
        previous_lines = sum(len(text) + 1 for text in self.source.text.split("\n")[:line])
        return min(previous_lines + column, len(self.source.text))

    def definition(self, word: Span) -> Definition | None:
        """The definition of a name in its scheme, the file, a used file or the library."""
        name = canonical(word.text)
        for block in self.file.statements_of(tree.Scheme):
            if block.span.start <= word.start < block.span.end:
                scheme_definitions = dict(_scheme_definitions(block))
                if name in scheme_definitions:
                    return scheme_definitions[name]
        definitions = find_definitions((*self.file.statements, *self.imported_statements))
        if name in definitions:
            return definitions[name]
        return _library_definition(word.text) if word.text in library_names() else None


def find_definitions(statements: Iterable[tree.Statement]) -> dict[str, Definition]:
    """The definitions in statements, by canonical name; of two definitions the first one."""
    definitions: dict[str, Definition] = {}
    for statement in statements:
        for name, definition in _definitions_of(statement):
            definitions.setdefault(name, definition)
    return definitions


def _make_definitions(
    kind: str, statement: tree.Node, names: Iterable[tree.Name]
) -> Iterable[tuple[str, Definition]]:
    """The definitions of several names by one statement."""
    return [(name.id, Definition(kind, name.span, statement.span)) for name in names]


def _definitions_of(statement: tree.Statement) -> Iterable[tuple[str, Definition]]:
    """The names that a statement declares, with their definitions."""
    match statement:
        case tree.State(names):
            return _make_definitions("unknown of the equations", statement, names)
        case tree.Param(shared, names):
            sharing = "shared by all steps" if shared else "one for each step"
            return _make_definitions(f"learned parameter, {sharing}", statement, names)
        case tree.Map(_, name):
            return _make_definitions("map made of layers", statement, [name])
        case tree.Let(name):
            return _make_definitions("name for a value", statement, [name])
        case tree.Scheme(name) | tree.MadeScheme(name):
            return _make_definitions("scheme", statement, [name])
        case tree.Unparsed(kind, names):
            return [(name, Definition(kind, statement.span, statement.span)) for name in names]
        case _:
            return ()


def _scheme_definitions(block: tree.Scheme) -> Iterator[tuple[str, Definition]]:
    """The definitions in a scheme: auxiliary unknowns, lets and stages."""
    for rule in reversed(block.rules):  # so that the first of several definitions counts
        match rule:
            case tree.Aux(names):
                yield from _make_definitions("unknown of the scheme's own", rule, names)
            case tree.Let(name):
                yield from _make_definitions("number of the scheme", rule, [name])
            case tree.Update(tree.Name() as name):
                yield from _make_definitions("stage of the step", rule, [name])
            case _:
                pass


def _library_definition(name: str) -> Definition:
    """The definition of a scheme of the library: its whole file."""
    source = Source(str(files("odenet") / "schemes" / f"{name}.ode"), library_text(name))
    span = Span(source, 0, len(source.text.rstrip()))
    return Definition("scheme of the library", span, span)


@lru_cache(maxsize=8)
def _parsed(source: Source) -> tree.File:
    """The syntax tree of a text; empty if it cannot be parsed at all."""
    try:
        return parse(source, Report())
    except (SpecError, RecursionError):
        return tree.File((), span=Span(source, 0, len(source.text)))


@lru_cache(maxsize=8)
def _compile(
    source: Source, used_sources: tuple[Source, ...]
) -> tuple[Program | None, list[Diagnostic]]:
    """The compiled program or the errors of a text.

    `used_sources`, the files that the text uses, is not read: it is part of the cache's key, so
    that a changed file is compiled again.
    """
    try:
        return odenet.loads(source.text, name=source.name), []
    except SpecError as error:
        return None, list(error.diagnostics)
