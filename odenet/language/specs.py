"""The syntax trees of a spec and of the files that its `use` lines name."""

import os
from collections.abc import Iterator
from pathlib import Path

from odenet.diagnostics import Report, Source, Span, SpecError
from odenet.language import tree
from odenet.language.foreign_files import recognise_foreign
from odenet.language.parser import VERSION, parse
from odenet.language.source_files import file_identity, read

MOST_FILES = 50


def parse_spec(source: Source, report: Report) -> tree.File:
    """The syntax tree of a spec, with its syntax errors in the report.

    Raises:
        SpecError: it is not a text, has only comments, or is of another program or version.
    """
    if "\0" in source.text or any("\ud800" <= char <= "\udfff" for char in source.text):
        raise SpecError.of("not-a-spec", "this is not a text", file=source.name)
    if foreign := recognise_foreign(source):
        raise SpecError([foreign])
    file = _parse_known_version(source, report)
    if not file.statements:
        message = "this file has only comments" if source.text.strip() else "there is nothing here"
        help_ = "a model begins with `state Y`"
        raise SpecError.of("not-a-spec", message, Span(source, 0, max(1, len(source.text))), help_)
    return file


def _parse_known_version(source: Source, report: Report) -> tree.File:
    """The tree of a file; one of another version is refused, since its syntax may differ."""
    file = parse(source, report)
    for line in file.statements_of(tree.Version):
        if line.number.value != VERSION:
            message = f"this odenet reads version {VERSION} of the language"
            help_ = f"write `odenet {VERSION}`, or install an odenet that reads this one"
            raise SpecError.of("wrong-version", message, line.number.span, help_)
    return file


def used_files(file: tree.File, report: Report) -> tuple[tree.File, ...]:
    """The files that a spec uses, those that these use, and so on, each once.

    Args:
        file: the spec.
        report: collects the errors; the tree of an unreadable file is one `Unparsed` statement.

    Returns:
        The trees, every file after those that it uses.
    """
    main = Path(file.span.source.name)
    return tuple(_UsedFiles(main.parent, report).follow(file, (main,)))


class _UsedFiles:
    """Follows the `use` lines.

    Only files in the folder of the spec, and in those below it, are read: a spec from a stranger
    could otherwise use a private file, of which an error message then shows a line.
    """

    def __init__(self, folder: Path, report: Report):
        self.report = report
        self.folder = Path(os.path.realpath(folder))
        self.seen: set[tuple[int, int]] = set()

    def follow(self, file: tree.File, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        """The files that a file uses, each after those that it uses itself.

        Args:
            file: the file that uses them.
            chain: the paths of the spec, of the files between it and this one, and of this one.
        """
        for use in file.statements_of(tree.Use):
            path = Path(os.path.normpath(chain[-1].parent / use.path))
            identity = file_identity(path)
            ancestors = [file_identity(p) for p in chain]
            if identity is not None and identity in ancestors:
                cycle = " > ".join(p.name for p in (*chain[ancestors.index(identity) :], path))
                self.report.error("use-refused", f"these files use each other: {cycle}", use.span,
                                  "move what both need to a third file")  # fmt: skip
            elif identity is None or identity not in self.seen:
                self.seen |= {identity} if identity else set()
                yield from self._read(use, path, chain)

    def _read(self, use: tree.Use, path: Path, chain: tuple[Path, ...]) -> Iterator[tree.File]:
        """The tree of one used file, after those of the files that it uses itself."""
        try:
            self._check_allowed(path)
            source = read(path)
        except SpecError as error:
            for problem in error.diagnostics:
                message = f"{use.path}: {problem.message}"
                self.report.error(problem.code, message, use.span, problem.help)
            yield tree.File((tree.Unparsed("use", span=use.span),), span=use.span)
            return
        file = _parse_known_version(source, self.report)
        yield from self.follow(file, (*chain, path))
        yield file

    def _check_allowed(self, path: Path) -> None:
        """Refuse a file outside of the folder of the spec, and more than MOST_FILES files."""
        if not Path(os.path.realpath(path)).is_relative_to(self.folder):
            message = "this file is not in the folder of the spec"
            raise SpecError.of("use-refused", message, help="copy it there, or into a folder below")
        if len(self.seen) > MOST_FILES:
            raise SpecError.of("use-refused", f"a spec uses at most {MOST_FILES} files")
