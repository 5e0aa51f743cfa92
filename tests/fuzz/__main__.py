"""Fuzzes the compiler with random inputs, one for each seed; failing inputs are saved with their seeds.

    python -m tests.fuzz --inputs 200000 --seed 0
    python -m tests.fuzz --inputs 100000 --seed 0 --stages text

Each input depends on its seed alone, so that a run can continue where another stopped.
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
from tests.fuzz.examine import (
    TIME_LIMIT,
    Examiner,
    examine_all_stages,
    examine_file,
    examine_front_end,
    within_limits,
)

CHUNK = 20  # inputs that a worker takes at a time
FILE_INTERVAL = 10  # one input in 10 is a file of bytes
FORMAT_INTERVAL = 5  # one in 5 is also compiled after formatting
SEARCH_INTERVAL = 20  # for one in 20, counterexamples are searched where nothing is proved
DAMAGED_FILE_INTERVAL = 2  # with `--stages text`, one in 2 is a file of bytes


def examine_spec(seed: int) -> str:
    """Take the input of a seed through all stages; the outcome, in a word such as "refused"."""
    if seed % FILE_INTERVAL == 0:
        return _examine_file(seed, examine_all_stages)
    also_formatted = seed % FORMAT_INTERVAL == 1
    searches = seed % SEARCH_INTERVAL == 2
    with within_limits(TIME_LIMIT * (1 + also_formatted)):  # one limit per compiled text
        return examine_all_stages(draw.spec_text(seed), also_formatted, searches)


def examine_damaged(seed: int) -> str:
    """Parse, format and check the damaged text or file of a seed; the outcome, in a word."""
    if seed % DAMAGED_FILE_INTERVAL == 0:
        return _examine_file(seed, examine_front_end)
    with within_limits():
        return examine_front_end(draw.damaged_text(seed))


STAGES = {"all": examine_spec, "text": examine_damaged}


def _examine_file(seed: int, examine: Examiner) -> str:
    with TemporaryDirectory() as folder, within_limits():
        return examine_file(draw.file_bytes(seed), Path(folder), examine)


def examine_seed(seed: int, stages: str) -> tuple[str, str]:
    """The outcome for a seed, or the name of the exception it raised, with the traceback.

    Args:
        seed: the seed that determines the input.
        stages: a key of STAGES.
    """
    try:
        return STAGES[stages](seed), ""
    except Exception as error:
        return type(error).__name__, traceback.format_exc()


def main() -> int:
    """Examine the inputs of all seeds; 1 if any of them raised an exception."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first input")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--stages", choices=STAGES, default="all",
                        help="text: damaged texts and files, not taken beyond their check")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=float("inf"), help="time limit")
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-failures"),
                        help="folder of the failing inputs")  # fmt: skip
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    failures = 0
    examined, start_time = 0, time.monotonic()
    for outcomes in _outcomes(options):
        for seed, outcome, trace in outcomes:
            counts[outcome] += 1
            if trace:
                failures += 1
                _save_failure(options, seed, outcome, trace)
        examined += len(outcomes)
        rate = examined / (time.monotonic() - start_time)
        summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        print(f"seeds {options.seed} to {options.seed + examined - 1}: {summary}; {rate:.1f}/s",
              flush=True)  # fmt: skip
    print(f"{examined} inputs, {failures} failures; go on with --seed {options.seed + examined}")
    return 1 if failures else 0


def _outcomes(options: argparse.Namespace) -> Iterator[list[tuple[int, str, str]]]:
    """A list of (seed, outcome, traceback) for each chunk, until seeds or minutes run out."""
    deadline = time.monotonic() + 60 * options.minutes
    end = options.seed + options.inputs
    batch = 5 * options.workers  # chunks submitted at once, so that few workers idle at its end
    starts = list(range(options.seed, end, CHUNK))
    chunks = [range(start, min(start + CHUNK, end)) for start in starts]
    with ProcessPoolExecutor(options.workers) as pool:
        for i in range(0, len(chunks), batch):
            if time.monotonic() > deadline:
                return
            yield from pool.map(
                partial(_examine_chunk, stages=options.stages), chunks[i : i + batch]
            )


def _examine_chunk(seeds: range, stages: str) -> list[tuple[int, str, str]]:
    return [(seed, *examine_seed(seed, stages)) for seed in seeds]


def _save_failure(options: argparse.Namespace, seed: int, outcome: str, trace: str) -> None:
    """Save an input, and the traceback of the exception whose name is the outcome."""
    is_spec = options.stages == "all"
    if seed % (FILE_INTERVAL if is_spec else DAMAGED_FILE_INTERVAL) == 0:
        data = draw.file_bytes(seed)
    else:
        data = (draw.spec_text if is_spec else draw.damaged_text)(seed).encode("utf-8", "replace")
    options.corpus.mkdir(parents=True, exist_ok=True)
    name = f"{options.stages}-{seed}-{outcome}"
    (options.corpus / f"{name}.ode").write_bytes(data)
    (options.corpus / f"{name}.txt").write_text(trace, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
