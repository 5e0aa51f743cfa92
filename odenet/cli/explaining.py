"""`odenet explain`: prints the entry of an error code in docs/errors.md."""

import re
from typing import Annotated

import typer

from odenet.cli.output import say


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            help="The word in brackets after `error` or `warning` [default: list all of them]."
        ),
    ] = None,
) -> None:
    """Explain a kind of error or warning, with an example and its cure."""
    from odenet.diagnostics import suggest
    from odenet.diagnostics.error_page import error_entries

    entries = error_entries()
    if code is None:
        say("\n".join(entries))
        return
    in_brackets = re.search(r"\[(.*)\]", code)  # as in a pasted `error[unknown-name]`
    name = re.sub("[_ ]", "-", (in_brackets[1] if in_brackets else code).strip("[]").lower())
    if name not in entries:
        help_ = suggest(name, entries) or "`odenet explain` lists them"
        raise typer.BadParameter(f"there is no kind of error `{code}`: {help_}", param_hint="CODE")
    say(f"{name}\n\n{entries[name]}")
