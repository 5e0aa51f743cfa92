"""From a text to its syntax tree and typed program, with the files it uses."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from odenet.diagnostics import Diagnostic, Report, Source, Span, SpecError
from odenet.language import VERSION, parse, tree
from odenet.language.foreign import recognise
from odenet.language.reading import identity, read
from odenet.model.reading.build import build
from odenet.model.typed.program import Model

MOST_FILES = 50


def check(source: Source, settings: Mapping[str, Any]) -> tuple[tree.File, Model]:
    """The syntax tree and typed program of a text.

    Args:
        source: the text.
        settings: values from outside: numbers of `let`, constants of the scheme, keys of the
            recipe.

    Raises:
        SpecError: with everything that is wrong.
    """
    report = Report()
    _check_text(source)
    if foreign := recognise(source):
        raise SpecError([foreign])
    try:
        file = parse(source, report)
        _check_version(file)
        if not file.statements:
            message, help_ = "this file has only comments", "a model begins with `state Y`"
            place = Span(source, 0, max(1, len(source.text)))
            raise SpecError([Diagnostic(message, place, help=help_)])
        used = tuple(_Uses(source, report).of(file, ()))
        return file, build(file, source, used, settings, report)
    except RecursionError:
        message = "a formula of this file is nested too deeply"
        raise SpecError([Diagnostic(message, file=source.name)]) from None


def _check_text(source: Source) -> None:
    """Refuse what no file can hold, in a text that comes from elsewhere."""
    if "\0" in source.text or any("\ud800" <= char <= "\udfff" for char in source.text):
        raise SpecError([Diagnostic("this is not a text", file=source.name)])


def _check_version(file: tree.File) -> None:
    """Refuse a file of another version; what else seems wrong with it may be right there."""
    for line in file.of(tree.Version):
        if line.number.value != VERSION:
            message = f"this odenet reads version {VERSION} of the language"
            help_ = f"write `odenet {VERSION}`, or install an odenet that reads this one"
            raise SpecError([Diagnostic(message, line.number.span, help=help_)])


class _Uses:
    """Finds the files that a file uses, those that these use, and so on, each once.

    Whoever hands on a spec chooses what it uses, and a message shows a line of it: only files in
    the folder of the spec, and in those below it, are read.
    """

    def __init__(self, source: Source, report: Report):
        self.report = report
        self.main = Path(source.name)
        self.folder = Path(os.path.realpath(self.main.parent))
        self.seen: set[tuple[int, int]] = set()

    def of(self, file: tree.File, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        """The files used, those they need first.

        Args:
            file: the file that uses them.
            chain: the paths of the files between the first one and this one, itself the last.
        """
        for use in file.of(tree.Use):
            chain_ = (self.main, *chain)
            path = Path(os.path.normpath(chain_[-1].parent / use.path))
            known = identity(path)
            above = [identity(p) for p in chain_]
            if known is not None and known in above:
                cycle = " > ".join(p.name for p in (*chain_[above.index(known) :], path))
                self.report.error(f"these files use each other: {cycle}", use.span,
                                  help="move what both need to a third file")  # fmt: skip
            elif known is None or known not in self.seen:
                self.seen |= {known} if known else set()
                yield from self._file(use, path, chain)

    def _file(self, use: tree.Use, path: Path, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        try:
            self._allow(path)
            source = read(path)
        except SpecError as error:
            for found in error.diagnostics:
                self.report.error(f"{use.path}: {found.message}", use.span, help=found.help)
            yield tree.File((tree.Lost("use", (), (), span=use.span),), span=use.span)
            return
        file = parse(source, self.report)
        _check_version(file)
        yield from self.of(file, (*chain, path))
        yield file

    def _allow(self, path: Path) -> None:
        """Refuse a file outside of the folder of the spec, and more files than anybody writes."""
        if not Path(os.path.realpath(path)).is_relative_to(self.folder):
            message = "this file is not in the folder of the spec"
            raise SpecError([Diagnostic(message, help="copy it there, or into a folder below")])
        if len(self.seen) > MOST_FILES:
            raise SpecError([Diagnostic(f"a spec uses at most {MOST_FILES} files")])
