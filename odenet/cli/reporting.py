"""`odenet report` and `odenet watch`: the HTML page of a specification or a run."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from odenet.cli.output import require_replaceable, say
from odenet.cli.shared_options import Plugins, Settings, read_settings, run_options
from odenet.extras import require
from odenet.files import write_text


def report(
    source: Annotated[Path, typer.Argument(help="A specification, or the folder of a run.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page [default: NAME.html].")
    ] = None,
    set_: Settings = None,
    data_root: Annotated[
        str | None, typer.Option(help="Where the data of a run lies [default: as in training].")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write what is known of a specification or a run as one page of HTML.

    The page is a single file: equations, scheme, proofs, stability with the eigenvalues of the
    weights, the network, and for a run its curves and its predictions for test samples.
    """
    require("report", "odenet report")
    if source.is_dir():
        require("train", "the report of a run")
    from rich.console import Console

    target = out or Path(f"{source.resolve().stem}.html")
    # Every page that odenet writes names it as the generator, by these bytes.
    require_replaceable(target, out is not None, b'content="odenet', source)
    with Console(stderr=True).status("reading") as status:
        if source.is_dir():
            from odenet.report.page import run_report  # imports torch, which takes seconds

            if set_:
                message = "a run has the values it was trained with"
                raise typer.BadParameter(message, param_hint="--set")
            html = run_report(source, run_options(source, {"data_root": data_root}), status.update)
        else:
            import odenet

            # Before torch is imported, so that errors come at once.
            program = odenet.load(source, set=read_settings(set_, source))
            from odenet.report.page import spec_report

            html = spec_report(program, status.update)
    write_text(target, html)
    say(f"wrote {target}")


def watch(
    spec: Annotated[Path, typer.Argument(help="The specification.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8642,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    set_: Settings = None,
    plugin: Plugins = None,
) -> None:
    """Show the page of a specification in a browser, built anew at each save.

    Errors are shown in the page, each with the lines of source text. Weights are not drawn;
    `odenet report` does that. The page is served to this machine alone. Ctrl-C ends it.
    """
    require("report", "odenet watch")
    import webbrowser

    from rich.console import Console

    with Console(stderr=True).status("reading"):
        from odenet.report.watch import POLL_INTERVAL, WatchedSpec, serve  # slow: imports torch

        watched = WatchedSpec(spec, read_settings(set_, spec))
        watched.refresh()
    with serve(watched, port) as address:
        say(f"{spec} is at {address}, until Ctrl-C")
        sys.stdout.flush()
        if open_:
            webbrowser.open(address)
        while True:
            time.sleep(POLL_INTERVAL)
            if watched.refresh():
                say(f"{time.strftime('%H:%M:%S')}  {watched.page.summary}")
                sys.stdout.flush()
