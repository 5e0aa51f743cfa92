"""`odenet explain`: prints the entry of an error code in docs/errors.md."""

import re
from typing import Annotated

import typer

from odenet.cli.output import say


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            help="The word in brackets after `error` or `warning`; all are listed without."
        ),
    ] = None,
) -> None:
    """Explain a kind of error or warning, with an example and its cure."""
    from odenet.diagnostics import suggest
    from odenet.diagnostics.error_page import error_entries

    known = error_entries()
    if code is None:
        say("\n".join(known))
        return
    brackets = re.search(r"\[(.*)\]", code)  # of a pasted error[unknown-name]
    name = re.sub("[_ ]", "-", (brackets[1] if brackets else code).strip("[]").lower())
    if name not in known:
        help_ = suggest(name, known) or "`odenet explain` lists them"
        raise typer.BadParameter(f"there is no kind of error `{code}`: {help_}", param_hint="CODE")
    say(f"{name}\n\n{known[name]}")
