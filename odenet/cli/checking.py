"""`odenet check`: claims proved or refuted, and the laws measured on the compiled module."""

from pathlib import Path
from typing import Annotated, Any

import typer

from odenet.cli.output import say, write
from odenet.cli.shared_options import Json, Plugins, Settings, load_spec, read_settings
from odenet.json_text import to_json


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Specifications; `-` reads the standard input.")
    ],
    numeric: Annotated[
        bool, typer.Option("--numeric/--no-numeric", help="Also measure the laws on the module.")
    ] = True,
    trials: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Starts of the search for a counterexample [default: as in odenet compile].",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search and of the measurements.")] = 0,
    json_: Json = False,
    set_: Settings = None,
    plugin: Plugins = None,
) -> None:
    """Prove or refute what specifications claim; exit code 1 if a claim or a law fails.

    The laws are measured on the steps: a file without a `discretise` line has none.
    """
    reports = [_check_file(file, set_, numeric, trials, seed, quiet=json_) for file in files]
    if json_:
        write(to_json(reports, indent=2))
    if not all(report["holds"] for report in reports):
        raise typer.Exit(1)


def _check_file(
    file: Path, set_: list[str] | None, numeric: bool, trials: int | None, seed: int, quiet: bool
) -> dict[str, Any]:
    """Check one file and print the verdicts, unless quiet; returns the report for --json."""
    from odenet.analyse import TRIALS
    from odenet.analyse.claims import VERDICT_MARKS
    from odenet.diagnostics import SpecError, render

    try:
        program = load_spec(file, read_settings(set_, file))
        if program.discretised:
            _ = program.derivation  # now, so that its errors are reported for this file
    except SpecError as error:
        if not quiet:
            say(error, err=True)
        errors = [diagnostic.to_json() for diagnostic in error.diagnostics]
        return {"file": str(file), "holds": False, "errors": errors}
    trials = TRIALS if trials is None else trials
    certificate = program.decide(trials, seed)
    claims = program.judge(certificate, trials, seed)
    laws = []
    if numeric and program.discretised:
        from odenet.laws import measure  # imports torch, which proofs do not need

        laws = measure(program, seed)
    if not quiet:
        say(f"{program.model.source.name}: {certificate.summary}")
        for claim in claims:
            say(f"  {claim.line}")
        for law in laws:
            say(f"  {VERDICT_MARKS[law.holds]} {law.name}: {law.text}")
        failed = [claim.failure() for claim in claims if not claim.holds]
        for diagnostic in [*program.warnings, *failed]:
            say(f"\n{render(diagnostic)}\n", err=True)
    return {
        "file": str(file),
        "holds": all(claim.holds for claim in claims)
        and not any(law.holds is False for law in laws),  # None: not measurable
        "certificate": certificate.to_json(),
        "claims": [claim.to_json() for claim in claims],
        "laws": [law.to_json() for law in laws],
        "warnings": [warning.to_json() for warning in program.warnings],
    }
