"""`odenet explain`: the entry of a code in docs/errors.md."""

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
    wanted = code.strip("[]").lower().replace("_", "-")
    if wanted not in known:
        near = suggest(wanted, known) or "`odenet explain` lists them"
        raise typer.BadParameter(f"there is no kind of error `{code}`: {near}", param_hint="CODE")
    say(f"{wanted}\n\n{known[wanted]}")
