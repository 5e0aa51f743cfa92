"""The command line: each command reads its arguments, calls the package and prints the result.

Exit codes: 0 success, 1 an error in the user's input, 2 wrong usage, 70 an internal error of
odenet.
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
    explaining,
    inference,
    language_server,
    measuring,
    memory,
    new_spec,
    plotting,
    reporting,
    training,
    verifying,
)
from odenet.cli.output import say
from odenet.cli.shared_options import suggest_setting
from odenet.diagnostics import Diagnostic, SpecError, render, suggest
from odenet.extras import MissingLibraries
from odenet.files import describe_error
from odenet.interrupts import SIGNALS, Interrupted, interruptible


class Commands(typer.core.TyperGroup):
    """The group of all commands; its help has whole first sentences, which click would cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        helps = {name: (command.help or "") for name, command in commands.items() if command}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(n, " ".join(h.split("\n\n")[0].split())) for n, h in helps.items()]
            )

    def invoke(self, ctx: Any) -> Any:
        """Run a command, with better messages for two errors.

        A wrong choice gets a list of the choices and a suggestion. An unknown option that is a key
        of recipes gets the `--set` that replaces it.
        """
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            message = error.message.removeprefix("Value error, ")
            if choice := re.fullmatch(r"'(.*)' is not one of ('.*')\.", message, re.DOTALL):
                choices = re.findall(r"'([^']*)'", choice[2])
                suggestion = suggest(choice[1], choices)
                message = f"`{choice[1]}` is not one of {', '.join(choices)}"
                message += f"; {suggestion}" if suggestion else ""
            error.message = message
            raise
        except Exception as error:
            option = getattr(error, "option_name", None)  # of NoSuchOption, which typer hides
            command = getattr(getattr(error, "ctx", None), "command", None)
            parameters = getattr(command, "params", ())
            if option and any("--set" in parameter.opts for parameter in parameters):
                suggestion = suggest_setting(option)
                error.possibilities = suggestion or error.possibilities  # pyright: ignore
            raise


app = typer.Typer(
    name="odenet",
    cls=Commands,
    help="Deep networks written as ODEs: compiled, checked and trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("new")(new_spec.new)
app.command("compile")(compiling.compile_spec)
app.command("check")(checking.check)
app.command("verify")(verifying.verify)
app.command("train")(training.train)
app.command("eval")(measuring.evaluate)
app.command("predict")(inference.predict)
app.command("sample")(inference.sample)
app.command("export")(inference.export)
app.command("compare")(measuring.compare)
app.command("study")(measuring.study)
app.command("plot")(plotting.plot)
app.command("report")(reporting.report)
app.command("watch")(reporting.watch)
app.command("convert")(converting.convert)
app.command("memory")(memory.memory)
app.command("bench")(benching.bench)
app.command("lsp")(language_server.lsp)
app.command("fmt")(compiling.fmt)
app.command("schemes")(compiling.schemes)
app.command("explain")(explaining.explain)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        say(f"odenet {odenet.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Deep networks written as ODEs: compiled, checked and trained."""


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    _require_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that it cannot show become codes
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            _run()
    except Interrupted as interrupted:
        for number in SIGNALS:  # a second signal ends the process, even during its cleanup
            signal.signal(number, signal.SIG_DFL)
        sys.exit(128 + interrupted.number)


def _require_streams() -> None:
    """Open those of the three standard streams that the caller has closed, on the null device.

    Otherwise the next file that is opened would get the number of a standard stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, that of the stream
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))


def _run() -> None:
    """Run the command, print its errors, and exit with their codes."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, so that a failure can still be reported
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
        _report_internal_error(error)
        sys.exit(70)


def _abandon_output() -> None:
    """Drop output that could not be written, which the interpreter would try again at its end."""
    with suppress(OSError):
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _report_internal_error(error: Exception) -> None:
    """Print what is needed to find a fault of odenet."""
    from odenet.confirm import Disagreement

    if isinstance(error, Disagreement):
        say(f"odenet contradicts itself, so nothing is reported: {error}", err=True)
    else:
        traceback.print_exception(error)
    say(f"\nThis is a fault of odenet {odenet.__version__} itself. Please report the text above "
        "together with the specification.", err=True)  # fmt: skip
