"""The check before training that every claim of a spec (a `require` line) is proved."""

from typing import Any

from odenet.compiler import Program
from odenet.diagnostics import SpecError

UNCHECKED_HELP = "change the file, or train it as it is with --unchecked"


def check_claims(program: Program, unchecked: bool) -> dict[str, Any]:
    """Refuse a spec with a claim that is not proved; return all verdicts, for the run's record.

    Args:
        program: the compiled spec.
        unchecked: accept it although claims are refuted or open.

    Returns:
        A dictionary: `spectrum`, the verdict of the certificate in a word; `claims`, a list of
        what `odenet check --json` gives for each claim; and `unchecked`.

    Raises:
        SpecError: a claim is refuted or open; it points at the line of the claim.
    """
    failed = [claim.failure(UNCHECKED_HELP) for claim in program.claims if not claim.holds]
    if failed and not unchecked:
        raise SpecError(failed)
    return {
        "spectrum": program.certificate.verdict,
        "claims": [claim.to_json() for claim in program.claims],
        "unchecked": unchecked,
    }
