"""`odenet verify`: checks a certificate, by code that is independent of the compiler."""

import io
import json
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from odenet.cli.output import say


def verify(
    certificate: Annotated[
        Path, typer.Argument(help="A certificate.json, or NAME.certificate.json.")
    ],
    spec: Annotated[
        Path | None, typer.Option(help="Also say whether it was written for this specification.")
    ] = None,
) -> None:
    """Check a certificate; exit code 0 if it proves its verdict, 1 if not, 2 if it is not one."""
    from odenet.verify import main

    with redirect_stdout(io.StringIO()) as output:  # for `say`, which cleans the quoted file
        code = main(certificate)
    say(output.getvalue().rstrip("\n"))
    if spec is not None and code < 2:
        code = max(code, _compare_hash(certificate, spec))
    raise typer.Exit(code)


def _compare_hash(certificate: Path, spec: Path) -> int:
    """Print whether the certificate has the hash of a specification; returns the exit code."""
    from odenet.compiler import read

    recorded_hash = json.loads(certificate.read_text("utf-8"))["spec"]["sha256"]
    matches = recorded_hash == sha256(read(spec).text.encode()).hexdigest()
    say(f"{'it was' if matches else 'not proved: it was not'} written for {spec} as it is now")
    return 0 if matches else 1
