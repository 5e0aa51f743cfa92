"""`odenet explain`: the entry of a code in docs/errors.md."""

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
    from odenet.diagnostics.entries import entries

    known = entries()
    if code is None:
        say("\n".join(known))
        return
    inside = re.search(r"\[(.*)\]", code)  # as it is pasted: error[unknown-name]
    wanted = re.sub("[_ ]", "-", (inside[1] if inside else code).strip("[]").lower())
    if wanted not in known:
        near = suggest(wanted, known) or "`odenet explain` lists them"
        raise typer.BadParameter(f"there is no kind of error `{code}`: {near}", param_hint="CODE")
    say(f"{wanted}\n\n{known[wanted]}")
