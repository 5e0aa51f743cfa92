"""Fuzzing, over as many seeds as wanted; the failures are kept with their seeds.

    python -m tests.fuzz --inputs 200000 --seed 0
    python -m tests.fuzz --inputs 100000 --seed 0 --stages text

Input i is drawn from the seed `seed + i` alone, so that a run goes on where another stopped.
"""

import argparse
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz import draw
from tests.fuzz.examine import SECONDS, Stages, examine, examine_bytes, examine_text, within_limits

CHUNK = 20  # inputs that a worker takes at a time
FILES = 10  # every so many inputs one is a file of bytes
LAYOUTS = 5  # and the layout of one is compiled as well
SEARCHES = 20  # and for one a counterexample is looked for where nothing is proved
DAMAGED_FILES = 2  # every so many damaged inputs one is a file of bytes


def whole(seed: int) -> str:
    """Take the input of a seed through all stages; what became of it."""
    if seed % FILES == 0:
        return _from_file(seed, examine)
    layout = seed % LAYOUTS == 1
    with within_limits(SECONDS * (1 + layout)):  # for each text that is compiled
        return examine(draw.text(seed), layout, search=seed % SEARCHES == 2)


def text(seed: int) -> str:
    """Parse, lay out and check the damaged text or file of a seed; what became of it."""
    if seed % DAMAGED_FILES == 0:
        return _from_file(seed, examine_text)
    with within_limits():
        return examine_text(draw.damaged(seed))


STAGES = {"all": whole, "text": text}


def _from_file(seed: int, stages: Stages) -> str:
    with TemporaryDirectory() as folder, within_limits():
        return examine_bytes(draw.data(seed), Path(folder), stages)


def outcome(seed: int, stages: str) -> tuple[str, str]:
    """What became of the input of a seed, and the traceback if it is one that nobody may see."""
    try:
        return STAGES[stages](seed), ""
    except Exception as error:
        return type(error).__name__, traceback.format_exc()


def main() -> int:
    """Draw and examine; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--stages", choices=STAGES, default="all",
                        help="text: damaged texts and files, not taken beyond their check")  # fmt: skip
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
                _keep(options, seed, kind, trace)
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
    ahead = 5 * options.workers  # chunks at a time, so that none waits for a slow one
    starts = list(range(options.seed, last, CHUNK))
    chunks = [range(start, min(start + CHUNK, last)) for start in starts]
    with ProcessPoolExecutor(options.workers) as pool:
        for i in range(0, len(chunks), ahead):
            if time.monotonic() > end:
                return
            yield from pool.map(partial(_chunk, stages=options.stages), chunks[i : i + ahead])


def _chunk(seeds: range, stages: str) -> list[tuple[int, str, str]]:
    return [(seed, *outcome(seed, stages)) for seed in seeds]


def _keep(options: argparse.Namespace, seed: int, kind: str, trace: str) -> None:
    whole = options.stages == "all"
    if seed % (FILES if whole else DAMAGED_FILES) == 0:
        data = draw.data(seed)
    else:
        data = (draw.text if whole else draw.damaged)(seed).encode("utf-8", "replace")
    options.corpus.mkdir(parents=True, exist_ok=True)
    name = f"{options.stages}-{seed}-{kind}"
    (options.corpus / f"{name}.ode").write_bytes(data)
    (options.corpus / f"{name}.txt").write_text(trace, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
