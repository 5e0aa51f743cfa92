"""Checks that nothing contradicts the certificates of random specs, as many as one likes.

    python -m tests.analyse.soundness --specs 20000

Every certificate is compared with numpy at a random point (tests/analyse/numpy_checks.py), and by
the numerical check of the compiler itself (odenet/confirm).
"""

import argparse
import time
from collections import Counter
from random import Random

import numpy as np

from odenet.analyse import Certificate, certify
from odenet.confirm import confirmed_certificate
from tests.analyse.numpy_checks import check_certificate
from tests.analyse.specs import RandomSpec, load_model


def checked_certificate(seed: int) -> Certificate:
    """The certificate of a random spec, after both checks.

    Raises:
        Contradiction: the oracle in numpy refutes it.
        Disagreement: the check of the compiler refutes it.
    """
    model = load_model(RandomSpec(Random(seed)).text())
    certificate = confirmed_certificate(model, certify(model))
    check_certificate(model, certificate, np.random.default_rng(seed))
    return certificate


def main() -> None:
    """Check the specs of consecutive seeds; stop at the first contradiction and print its seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--specs", type=int, default=20000, help="number of specs")
    parser.add_argument("--first", type=int, default=0, help="seed of the first spec")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    for seed in range(options.first, options.first + options.specs):
        try:
            certificate = checked_certificate(seed)
        except Exception:
            print(f"seed {seed}:\n{RandomSpec(Random(seed)).text()}")
            raise
        counts[certificate.verdict] += 1
        counts["energies"] += certificate.energy is not None
        if time.monotonic() > end:
            break
    energies = counts.pop("energies")
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"{counts.total()} specs: {verdicts}; {energies} energies; nothing contradicted")


if __name__ == "__main__":
    main()
