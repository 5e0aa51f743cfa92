"""`odenet report` and `odenet watch`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odenet.cli.output import say
from odenet.cli.settings import Plugins, Settings, read_settings
from odenet.extras import require
from odenet.files import write_text

if TYPE_CHECKING:
    from odenet.training.records import Options


def report(
    source: Annotated[Path, typer.Argument(help="A specification, or the folder of a run.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page [default: NAME.html].")
    ] = None,
    set_: Settings = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Of a run, where its data lies [default: as in training].")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write what is known of a specification or a run as one page of HTML.

    It needs nothing beside it: equations, scheme, proofs, stability with the eigenvalues of the
    weights, the network, and of a run its curves and what it says of test samples.
    """
    require("report", "odenet report")
    if source.is_dir():
        require("train", "the report of a run")
    from rich.console import Console

    target = out or Path(f"{source.resolve().stem}.html")
    _require_free(target, source, chosen=out is not None)
    with Console(stderr=True).status("reading") as status:
        if source.is_dir():
            from odenet.report.page import run_report  # with torch, which takes seconds

            if set_:
                raise typer.BadParameter(
                    "a run has the values it was trained with", param_hint="--set"
                )
            html = run_report(source, _options(source, data_root), status.update)
        else:
            import odenet

            program = odenet.load(source, set=read_settings(set_, source))  # errors come at once
            from odenet.report.page import spec_report

            html = spec_report(program, status.update)
    write_text(target, html)
    say(f"wrote {target}")


def watch(
    spec: Annotated[Path, typer.Argument(help="The specification.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="On this machine; 0 takes one that is free.")
    ] = 8642,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    set_: Settings = None,
    plugin: Plugins = None,
) -> None:
    """Show the page of a specification in a browser, built anew at each save.

    Errors are shown in the page, each with its frame. Weights are not drawn; `odenet report` does
    that. The page is served to this machine alone. Ctrl-C ends it.
    """
    require("report", "odenet watch")
    import webbrowser

    from rich.console import Console

    with Console(stderr=True).status("reading"):
        from odenet.report.watch import PAUSE, Watch, serving  # with torch, which takes seconds

        followed = Watch(spec, read_settings(set_, spec))
        followed.refresh()
    with serving(followed, port) as address:
        say(f"{spec} is at {address}, until Ctrl-C")
        sys.stdout.flush()
        if open_:
            webbrowser.open(address)
        while True:
            time.sleep(PAUSE)
            if followed.refresh():
                say(f"{time.strftime('%H:%M:%S')}  {followed.built.outcome}")
                sys.stdout.flush()


def _options(run: Path, data_root: Path | None) -> "Options":
    """Where a run's data lies."""
    from dataclasses import replace

    from odenet.training.records import RunFolder

    before = RunFolder(run).read_record().options
    return before if data_root is None else replace(before, data_root=str(data_root))


def _require_free(target: Path, source: Path, chosen: bool) -> None:
    """Refuse to replace the specification, or, where nobody named it, a file that is not ours."""
    from odenet.diagnostics import Diagnostic, SpecError

    if not target.is_file():
        return
    message = ""
    if source.is_file() and target.samefile(source):
        message = "this is the specification, which the page would replace"
    elif not chosen and b'content="odenet' not in target.read_bytes():
        message = "this file exists and was not written by odenet"
    if message:
        help_ = "name another with -o FILE.html"
        raise SpecError([Diagnostic("bad-option", message, file=str(target), help=help_)])
