"""No verdict is contradicted, over as many drawn specs as wanted.

    python -m tests.analyse.soundness --specs 20000

Every certificate is compared with numpy at a random point (tests/analyse/numpy_checks.py), and by the
compiler's own numeric check, which must agree.
"""

import argparse
import time
from collections import Counter
from random import Random

import numpy as np

from odenet.analyse import Certificate, certify
from odenet.confirm import confirmed_certificate
from tests.analyse.numpy_checks import check
from tests.analyse.specs import Drawn, model


def drawn(seed: int) -> Certificate:
    """The certificate of a drawn spec, with which numbers agree.

    Raises:
        Contradiction: the oracle refutes it.
        Disagreement: the compiler's own check does.
    """
    program = model(Drawn(Random(seed)).text())
    certificate = confirmed_certificate(program, certify(program))
    check(program, certificate, np.random.default_rng(seed))
    return certificate


def main() -> None:
    """Check so many specs, one after the other; the first contradiction ends it with its seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--specs", type=int, default=20000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most so long")
    options = parser.parse_args()
    found: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    for seed in range(options.first, options.first + options.specs):
        try:
            certificate = drawn(seed)
        except Exception:
            print(f"seed {seed}:\n{Drawn(Random(seed)).text()}")
            raise
        found[certificate.verdict] += 1
        found["energies"] += certificate.energy is not None
        if time.monotonic() > end:
            break
    energies = found.pop("energies")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
    print(f"{found.total()} specs: {verdicts}; {energies} energies; nothing contradicted")


if __name__ == "__main__":
    main()
