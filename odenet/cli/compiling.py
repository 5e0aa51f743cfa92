"""`odenet compile`, `odenet fmt` and `odenet schemes`; none of them imports torch."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odenet.cli.output import say, terminal_width, write
from odenet.cli.settings import (
    STANDARD,
    Plugins,
    Settings,
    load_spec,
    read_settings,
    standard_input,
)
from odenet.files import write_text
from odenet.json_text import to_json

if TYPE_CHECKING:
    from odenet.compiler import Program


class Emit(StrEnum):
    """The intermediate forms that `--emit` prints."""

    TREE = "tree"
    PROGRAM = "program"
    SCHEME = "scheme"
    DERIVATION = "derivation"
    CERTIFICATE = "certificate"
    LATEX = "latex"
    BIBTEX = "bibtex"
    JSON = "json"
    PY = "py"


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect no garbage, a tenth of a cold start: the process ends before it pays."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.freeze()  # nor at the end of the process
            gc.enable()


@_without_garbage_collection()
def compile_spec(
    file: Annotated[Path, typer.Argument(help="The specification; `-` reads the standard input.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where to write the module [default: NAME.py; of the standard input none], or "
            "the form that --emit names.",
        ),
    ] = None,
    proof: Annotated[
        bool,
        typer.Option("--proof", help="Also print the equations, the steps and all proofs."),
    ] = False,
    emit: Annotated[
        Emit | None,
        typer.Option(
            help="Print one form on the standard output and write nothing; with -o write it there, "
            "LaTeX as a document, with a .bib file of the papers that it cites."
        ),
    ] = None,
    set_: Settings = None,
    plugin: Plugins = None,
) -> None:
    """Compile a specification into a torch module, and print what was derived and proved.

    That is a line each for order, stability limit, round trip, spectrum and claims.

    A file without a `discretise` line has no module; the lines that would give it one are listed.
    A claim that does not hold is reported, and the module written; `odenet check` fails on it.
    """
    from odenet.diagnostics import render
    from odenet.emit.printing import as_summary, as_text

    program = load_spec(file, read_settings(set_, file))
    if emit is not None and output is not None:
        written = _write_form(output, program, emit)
        say(f"wrote {' and '.join(map(str, written))}")
        return
    if emit is not None:
        write(_form(program, emit).rstrip("\n"))
        return
    steps = program.discretised or output is not None  # a module that was asked for needs them
    source = program.source() if steps else None
    facts, claims = program.facts, program.claims
    say(as_text(facts, claims) if proof else as_summary(facts, claims, terminal_width()))
    if source is not None and (output is not None or file != STANDARD):
        target = output or Path(f"{program.name}.py")
        written = _write(target, program, source, chosen=output is not None)
        more = "" if proof else " (proofs: --proof)"
        say(f"\nwrote {' and '.join(map(str, written))}{more}")
    help_ = "change the file; `odenet train` refuses it without --unchecked" if steps else ""
    failed = [c.failure(help_, "warning") for c in program.claims if not c.holds]
    for warning in [*program.warnings, *failed]:
        say(f"\n{render(warning)}", err=True)


def _form(program: "Program", emit: Emit) -> str:
    """One form of a program as text; raises SpecError for one that it does not have."""
    from odenet.emit.printing import as_bibtex, as_json, as_latex

    match emit:
        case Emit.TREE:
            return str(program.tree)
        case Emit.PROGRAM:
            return str(program.model)
        case Emit.SCHEME:
            return program.model.scheme.text
        case Emit.DERIVATION:
            return str(program.derivation)
        case Emit.CERTIFICATE:
            return str(program.certificate)
        case Emit.PY:
            return program.source()
    if emit is Emit.LATEX:
        return as_latex(program.facts)
    if emit is Emit.BIBTEX:
        return as_bibtex(program.facts)
    return to_json(as_json(program.facts, program.claims), indent=2)


def _write_form(target: Path, program: "Program", emit: Emit) -> list[Path]:
    """Write one form, LaTeX as a document with its bibliography; gives what was written."""
    from odenet.emit.printing import as_bibtex, as_document

    form = as_document(program.facts, target.stem) if emit is Emit.LATEX else _form(program, emit)
    texts, papers = {target: form}, as_bibtex(program.facts)
    if emit is Emit.LATEX and papers:
        texts[target.with_suffix(".bib")] = f"% Generated by odenet.\n\n{papers}"
    for file in texts:
        _require_free(file, program, chosen=file == target)
    for file, text in texts.items():
        write_text(file, text.rstrip("\n") + "\n")
    return list(texts)


def _write(target: Path, program: "Program", source: str, chosen: bool) -> list[Path]:
    """Write a module and its certificate; gives what was written."""
    texts = {target: source}
    if not target.exists() or target.is_file():  # beside a device or a pipe there is no place
        texts[target.with_suffix(".certificate.json")] = program.certificate_json()
    for file in texts:
        _require_free(file, program, chosen)
    for file, text in texts.items():
        write_text(file, text)
    return list(texts)


def _require_free(file: Path, program: "Program", chosen: bool) -> None:
    """Refuse to replace the specification, or, where nobody named it, a file that is not ours."""
    from odenet.diagnostics import Diagnostic, SpecError

    if not file.is_file():
        return
    message, spec = "", Path(program.model.source.name)
    if spec.exists() and file.samefile(spec):
        message = "this is the specification, which the module would replace"
    elif not chosen and b"Generated by odenet" not in file.read_bytes():
        message = "this file exists and was not generated by odenet"
    if message:
        raise SpecError(
            [
                Diagnostic(
                    "unwritable-file", message, file=str(file), help="name another with -o FILE.py"
                )
            ]
        )


def fmt(
    files: Annotated[
        list[Path], typer.Argument(help="Specifications; `-` reads the standard input.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if a file would change.")
    ] = False,
) -> None:
    """Format specifications in place: one spelling of spaces, comments kept."""
    from odenet.compiler import read
    from odenet.language.format import format_source

    changed = False
    for file in files:
        standard = file == STANDARD
        source = standard_input() if standard else read(file)
        text = format_source(source)
        changed = changed or text != source.text
        if standard:
            sys.stdout.write(text)
        elif text != source.text:
            say(f"{'would format' if check else 'formatted'} {file}")
            if not check:
                write_text(file, text)
    if check and changed:
        raise typer.Exit(1)


def schemes(
    names: Annotated[
        list[str] | None, typer.Argument(help="Show these whole, with their order conditions.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As docs/schemes.md, with the texts.")
    ] = False,
) -> None:
    """List the schemes that ship with odenet, with what was derived from their text.

    `odenet plot stability NAME` draws where their steps are stable.
    """
    if names and (json_ or markdown):
        raise typer.BadParameter("--json and --markdown are of all schemes, so name none")
    if names:
        for name in names:
            _show_scheme(name)
        return
    from odenet.emit.printing import scheme_facts
    from odenet.emit.schemes_page import schemes_page

    if markdown:
        write(schemes_page().rstrip("\n"))
        return
    facts = scheme_facts()
    if json_:
        write(to_json(facts, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    remarks = {"solves": "solves", "parasitic": "has", "start": "starts",
               "why not reversible": "is not reversible"}  # fmt: skip
    notes = [(row["scheme"], word, row.pop(key)) for key, word in remarks.items() for row in facts]
    table = Table(box=box.SIMPLE_HEAD)
    for column in facts[0]:
        widest = max(len(str(row[column])) for row in facts)
        cut = column in ("takes", "volume", "needs")  # formulas, which --json has whole
        table.add_column(column, no_wrap=True, min_width=None if cut else max(widest, len(column)))
    for row in facts:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=max(100, Console().width)).print(table)
    for name, word, remark in notes:
        if remark:
            say(f"  {name} {word}: {remark}")


def _show_scheme(name: str) -> None:
    """Print what is derived from the text of a scheme, and by how much each condition is off."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from odenet.derive import derive
    from odenet.derive.residuals import residuals
    from odenet.diagnostics import Diagnostic, SpecError, suggest
    from odenet.model.elaboration.library import library, library_scheme, library_text

    if name not in library():
        message, near = f"unknown scheme `{name}`", suggest(name, library())
        help_ = f"{near}; `odenet schemes` lists them" if near else "`odenet schemes` lists them"
        raise SpecError([Diagnostic("unknown-scheme", message, help=help_)])
    scheme = library_scheme(name)
    say(f"{library_text(name).strip()}\n\n{derive(scheme)}\n")
    found = residuals(scheme)
    if isinstance(found, str):
        say(f"no order conditions: {found}\n")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("order", "condition for", "exact less step"):
        table.add_column(column, no_wrap=True)
    for row in found:
        table.add_row(str(row.order), row.differential, row.off or "holds")
    Console(width=max(100, Console().width)).print(table)
