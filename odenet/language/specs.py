"""A spec and the files that it uses, as syntax trees."""

import os
from collections.abc import Iterator
from pathlib import Path

from odenet.diagnostics import Report, Source, Span, SpecError
from odenet.language import tree
from odenet.language.foreign import recognise
from odenet.language.parser import VERSION, parse
from odenet.language.reading import identity, read

MOST_FILES = 50


def parse_spec(source: Source, report: Report) -> tree.File:
    """The syntax tree of a spec, with its syntax errors in the report.

    Raises:
        SpecError: it is not a text, has nothing but comments, or is of another program or version.
    """
    if "\0" in source.text or any("\ud800" <= char <= "\udfff" for char in source.text):
        raise SpecError.of("not-a-spec", "this is not a text", file=source.name)
    if foreign := recognise(source):
        raise SpecError([foreign])
    file = _parsed(source, report)
    if not file.statements:
        message = "this file has only comments" if source.text.strip() else "there is nothing here"
        help_ = "a model begins with `state Y`"
        place = Span(source, 0, max(1, len(source.text)))
        raise SpecError.of("not-a-spec", message, place, help_)
    return file


def _parsed(source: Source, report: Report) -> tree.File:
    """The tree of a file of this version; what seems wrong in another one may be right there."""
    file = parse(source, report)
    for line in file.of(tree.Version):
        if line.number.value != VERSION:
            message = f"this odenet reads version {VERSION} of the language"
            help_ = f"write `odenet {VERSION}`, or install an odenet that reads this one"
            raise SpecError.of("wrong-version", message, line.number.span, help_)
    return file


def used_files(file: tree.File, report: Report) -> tuple[tree.File, ...]:
    """The files that a spec uses, those that these use, and so on, each once.

    Args:
        file: the spec.
        report: takes what is wrong; a file that cannot be read is given as one that is lost.

    Returns:
        Every file after those that it needs.
    """
    main = Path(file.span.source.name)
    return tuple(_Uses(main.parent, report).of(file, (main,)))


class _Uses:
    """Follows the `use` lines.

    Whoever hands on a spec chooses what it uses, and a message shows a line of it: only files in
    the folder of the spec, and in those below it, are read.
    """

    def __init__(self, folder: Path, report: Report):
        self.report = report
        self.folder = Path(os.path.realpath(folder))
        self.seen: set[tuple[int, int]] = set()

    def of(self, file: tree.File, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        """The files used, those they need first.

        Args:
            file: the file that uses them.
            chain: the paths of the spec, of the files between it and this one, and of this one.
        """
        for use in file.of(tree.Use):
            path = Path(os.path.normpath(chain[-1].parent / use.path))
            known = identity(path)
            above = [identity(p) for p in chain]
            if known is not None and known in above:
                cycle = " > ".join(p.name for p in (*chain[above.index(known) :], path))
                self.report.error("use-refused", f"these files use each other: {cycle}", use.span,
                                  "move what both need to a third file")  # fmt: skip
            elif known is None or known not in self.seen:
                self.seen |= {known} if known else set()
                yield from self._file(use, path, chain)

    def _file(self, use: tree.Use, path: Path, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        try:
            self._allow(path)
            source = read(path)
        except SpecError as error:
            for found in error.diagnostics:
                self.report.error(found.code, f"{use.path}: {found.message}", use.span, found.help)
            yield tree.File((tree.Lost("use", (), (), span=use.span),), span=use.span)
            return
        file = _parsed(source, self.report)
        yield from self.of(file, (*chain, path))
        yield file

    def _allow(self, path: Path) -> None:
        """Refuse a file outside of the folder of the spec, and more files than anybody writes."""
        if not Path(os.path.realpath(path)).is_relative_to(self.folder):
            message = "this file is not in the folder of the spec"
            raise SpecError.of("use-refused", message, help="copy it there, or into a folder below")
        if len(self.seen) > MOST_FILES:
            raise SpecError.of("use-refused", f"a spec uses at most {MOST_FILES} files")
