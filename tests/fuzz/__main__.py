"""Fuzzing, over as many seeds as wanted; the failures are kept with their seeds.

    python -m tests.fuzz --inputs 200000 --seed 0 --workers 2

Input i is drawn from the seed `seed + i` alone, so that a run goes on where another stopped.
"""

import argparse
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz import draw
from tests.fuzz.examine import examine, examine_bytes, within_limits

CHUNK = 20  # inputs that a worker takes at a time
FILES = 10  # every so many inputs one is a file of bytes
LAYOUTS = 5  # and the layout of one is compiled as well


def outcome(seed: int) -> tuple[str, str]:
    """What became of the input of a seed, and the traceback if it is one that nobody may see."""
    try:
        with within_limits():
            if seed % FILES == 0:
                with TemporaryDirectory() as folder:
                    return examine_bytes(draw.data(seed), Path(folder)), ""
            return examine(draw.text(seed), layout=seed % LAYOUTS == 1), ""
    except Exception as error:
        return type(error).__name__, traceback.format_exc()


def main() -> int:
    """Draw and examine; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most so long")
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-failures"), help="where to keep")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    failures = 0
    done, began = 0, time.monotonic()
    for found in _outcomes(options):
        for seed, kind, trace in found:
            counts[kind] += 1
            if trace:
                failures += 1
                _keep(options.corpus, seed, kind, trace)
        done += len(found)
        rate = done / (time.monotonic() - began)
        shown = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        print(f"seeds {options.seed} to {options.seed + done - 1}: {shown}; {rate:.1f}/s",
              flush=True)  # fmt: skip
    print(f"{done} inputs, {failures} failures; go on with --seed {options.seed + done}")
    return 1 if failures else 0


def _outcomes(options: argparse.Namespace) -> Iterator[list[tuple[int, str, str]]]:
    """The outcomes of one chunk of seeds after the other."""
    end = time.monotonic() + 60 * options.minutes
    last = options.seed + options.inputs
    starts = list(range(options.seed, last, CHUNK))
    chunks = [range(start, min(start + CHUNK, last)) for start in starts]
    with ProcessPoolExecutor(options.workers) as pool:
        for i in range(0, len(chunks), options.workers):
            if time.monotonic() > end:
                return
            yield from pool.map(_chunk, chunks[i : i + options.workers])


def _chunk(seeds: range) -> list[tuple[int, str, str]]:
    return [(seed, *outcome(seed)) for seed in seeds]


def _keep(corpus: Path, seed: int, kind: str, trace: str) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    data = draw.data(seed) if seed % FILES == 0 else draw.text(seed).encode("utf-8", "replace")
    (corpus / f"{seed}-{kind}.ode").write_bytes(data)
    (corpus / f"{seed}-{kind}.txt").write_text(trace, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
