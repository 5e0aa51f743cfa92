"""`odenet verify`: a certificate checked by code that shares nothing with what wrote it."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    certificate: Annotated[
        Path, typer.Argument(help="A certificate.json, or NAME.certificate.json.")
    ],
) -> None:
    """Check a certificate; exit code 0 if it proves its verdict, 1 if not, 2 if it is none."""
    from odenet.verify import main

    raise typer.Exit(main(certificate))
