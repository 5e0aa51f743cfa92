"""What a spec claims, judged before it is trained, and kept with the run."""

from typing import Any

from odenet.compiler import Program
from odenet.diagnostics import SpecError

HELP = "change the file, or train it as it is with --unchecked"


def check_claims(program: Program, unchecked: bool) -> dict[str, Any]:
    """The verdict on the spectrum and on every claim, as a run keeps them.

    Args:
        program: what is to be trained.
        unchecked: train it whatever becomes of its claims.

    Returns:
        `spectrum`, a word; `claims`, what `odenet check --json` says of each; `unchecked`.

    Raises:
        SpecError: a claim is refuted or open, at its own line.
    """
    failed = [claim.failure(HELP) for claim in program.claims if not claim.holds]
    if failed and not unchecked:
        raise SpecError(failed)
    return {
        "spectrum": program.certificate.verdict,
        "claims": [claim.to_json() for claim in program.claims],
        "unchecked": unchecked,
    }
