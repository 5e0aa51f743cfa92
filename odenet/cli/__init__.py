"""The command line: arguments in, one call, text out, an exit code.

Exit codes: 0 good, 1 something is wrong with the user's input, 2 usage, 70 a fault of odenet's own.
"""

import io
import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer
import typer.core

import odenet
from odenet.cli import (
    benching,
    checking,
    compiling,
    converting,
    editing,
    explaining,
    measuring,
    memory,
    plotting,
    reporting,
    starting,
    training,
    using,
    verifying,
)
from odenet.cli.output import say
from odenet.cli.settings import setting_of
from odenet.diagnostics import Diagnostic, SpecError, render, suggest
from odenet.extras import MissingLibraries
from odenet.files import describe_error
from odenet.interrupts import SIGNALS, Interrupted, interruptible


class Commands(typer.core.TyperGroup):
    """The commands, each with the whole first sentence of its help, which click would cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        helps = {name: (command.help or "") for name, command in found.items() if command}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(n, " ".join(h.split("\n\n")[0].split())) for n, h in helps.items()]
            )

    def invoke(self, ctx: Any) -> Any:
        """Run one of them; a value that is none of an option's is answered by those that are.

        An option that is none is answered by `--set`, where it is the name of what that sets.
        """
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            message = error.message.removeprefix("Value error, ")
            if choice := re.fullmatch(r"'(.*)' is not one of ('.*')\.", message, re.DOTALL):
                known = re.findall(r"'([^']*)'", choice[2])
                near = suggest(choice[1], known)
                message = f"`{choice[1]}` is not one of {', '.join(known)}"
                message += f"; {near}" if near else ""
            error.message = message
            raise
        except Exception as error:
            asked = getattr(error, "option_name", None)  # of an error that typer does not export
            command = getattr(getattr(error, "ctx", None), "command", None)
            if asked and any("--set" in option.opts for option in getattr(command, "params", ())):
                error.possibilities = setting_of(asked) or error.possibilities  # pyright: ignore
            raise


app = typer.Typer(
    name="odenet",
    cls=Commands,
    help="Deep networks written as ODEs: compiled, checked and trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("new")(starting.new)
app.command("compile")(compiling.compile_spec)
app.command("check")(checking.check)
app.command("verify")(verifying.verify)
app.command("train")(training.train)
app.command("eval")(measuring.evaluate)
app.command("predict")(using.predict)
app.command("sample")(using.sample)
app.command("export")(using.export)
app.command("compare")(measuring.compare)
app.command("study")(measuring.study)
app.command("plot")(plotting.plot)
app.command("report")(reporting.report)
app.command("watch")(reporting.watch)
app.command("convert")(converting.convert)
app.command("memory")(memory.memory)
app.command("bench")(benching.bench)
app.command("lsp")(editing.lsp)
app.command("fmt")(compiling.fmt)
app.command("schemes")(compiling.schemes)
app.command("explain")(explaining.explain)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"odenet {odenet.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deep networks written as ODEs: compiled, checked and trained."""


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    _require_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Greek is shown their codes
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            _run()
    except Interrupted as interrupted:
        for number in SIGNALS:  # one more ends what the interpreter does at its end
            signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + interrupted.number)


def _require_streams() -> None:
    """Open what the caller has closed of input, output and errors, as nothing.

    Else Python has no stream there, and the next file that is opened would be taken for one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))


def _run() -> None:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where it can still be said that it failed
    except SpecError as error:
        say(error, err=True)
        sys.exit(1)
    except MissingLibraries as error:
        say(render(Diagnostic("missing-library", error.message, help=error.help)), err=True)
        sys.exit(1)
    except BrokenPipeError:
        _abandon_output()
        sys.exit(1)
    except OSError as error:
        _abandon_output()
        say(render(describe_error(error)), err=True)
        sys.exit(1)
    except Exception as error:
        _report_fault(error)
        sys.exit(70)


def _abandon_output() -> None:
    """Let the interpreter not try once more, at its end, to write what could not be written."""
    with suppress(OSError):
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _report_fault(error: Exception) -> None:
    """Print what is needed to find a fault of our own."""
    from odenet.confirm import Disagreement

    if isinstance(error, Disagreement):
        say(f"odenet contradicts itself, so nothing is reported: {error}", err=True)
    else:
        traceback.print_exception(error)
    say(f"\nThis is a fault of odenet {odenet.__version__} itself. Please report the text above "
        "together with the specification.", err=True)  # fmt: skip
