"""The command line: arguments in, one call, text out, an exit code.

Exit codes: 0 good, 1 something is wrong with the user's input, 2 usage, 70 a fault of odenet's own.
"""

import sys
import traceback
from typing import Annotated

import typer

import odenet
from odenet.cli import benching, checking, compiling, converting, memory, training, verifying
from odenet.diagnostics import SpecError

app = typer.Typer(
    name="odenet",
    help="Deep networks written as ODEs: compiled, checked and trained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("compile")(compiling.compile_spec)
app.command("check")(checking.check)
app.command("verify")(verifying.verify)
app.command("train")(training.train)
app.command("eval")(training.evaluate)
app.command("compare")(training.compare)
app.command("study")(training.study)
app.command("convert")(converting.convert)
app.command("memory")(memory.memory)
app.command("bench")(benching.bench)
app.command("fmt")(compiling.fmt)
app.command("schemes")(compiling.schemes)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"odenet {odenet.__version__}")
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
    try:
        app()
    except SpecError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        _report_fault(error)
        sys.exit(70)


def _report_fault(error: Exception) -> None:
    """Print what is needed to find a fault of our own."""
    from odenet.confirm import Disagreement

    if isinstance(error, Disagreement):
        print(f"odenet contradicts itself, so nothing is reported: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    print(f"\nThis is a fault of odenet {odenet.__version__} itself. Please report the text above "
          "together with the specification.", file=sys.stderr)  # fmt: skip
