"""Tests, measurements and trainings on a GPU, in one command that needs no internet.

    python bench/gpu.py --minutes 8 --data folder:DIR

runs the tests marked `gpu`, measures odenet beside other implementations of three networks (stacks
of blocks), and trains networks of Chang et al. 2018 (AAAI) in the remaining time. It writes
RESULTS-gpu.md and prints a short summary last. If a part fails, this is noted and the others run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from bench.adapters import BASELINE  # noqa: E402
from bench.networks import NETWORKS, Size  # noqa: E402
from bench.paper_networks import PAPER_ACCURACY, TrainedNetwork, train_within  # noqa: E402
from bench.results import library_versions, machine, table_row  # noqa: E402
from bench.stacks import NO_TIME, StackResult  # noqa: E402

MIB = 2**20
TEST_SHARE, STACK_SHARE = 0.25, 0.4  # at most, of the time; the rest is for training
MIN_TRAINING_SECONDS = 20  # with less time, no training is begun
SIZES = {
    "hamiltonian": Size(batch=128, channels=64, side=32, steps=16),
    "momentum": Size(batch=128, channels=32, side=32, steps=16),
    "transformer": Size(batch=32, channels=2 * 384, side=256, steps=12),
}
QUICK_SIZES = {name: Size(batch=2, channels=12, side=6, steps=2) for name in SIZES}
QUICK_SETTINGS = [
    "n=2",
    "w=4",
    "batch=8",
    "augment=[]",
]  # n is the depth, w the width
SECONDS_TO_END = 60  # to complete the measurement that is running when the time is over


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all parts; returns 1 if there is no GPU or a part has failed, else 0."""
    args = _argument_parser().parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        print(f"bench/gpu.py needs a CUDA GPU, and torch {torch.__version__} finds none")
        return 1
    report = Report(args)
    with TemporaryDirectory() as folder:
        for title, run_part in PARTS.items():
            report.begin_part(title)
            try:
                for text in run_part(args, report, Path(folder)):
                    report.add_text(text)
            except Exception as error:
                report.add_failure(title, f"{type(error).__name__}: {error}")
    print(report.summary())
    print(f"wrote {report.file}")
    return int(bool(report.failed_parts))


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8, help="in all [default: 8]")
    parser.add_argument("--data", default="digits", help="as in odenet train [default: digits]")
    parser.add_argument("--networks", nargs="+", choices=PAPER_ACCURACY, metavar="NAME",
                        default=["hamiltonian-74", "resnet-32"],
                        help=f"to train: {', '.join(PAPER_ACCURACY)}")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="of the training, as in odenet train")  # fmt: skip
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--output", type=Path, default=ROOT / "bench", help="folder of the results")
    return parser


class Report:
    """RESULTS-gpu.md, written whenever something is added, and the lines of the summary.

    Args:
        args: the command line.
    """

    def __init__(self, args: argparse.Namespace):
        args.output.mkdir(parents=True, exist_ok=True)
        self.file: Path = args.output / "RESULTS-gpu.md"
        self.failed_parts: list[str] = []
        self._deadline = time.monotonic() + 60 * args.minutes
        self._summary_lines: list[str] = []
        options = f"--minutes {args.minutes:g} --data {args.data.partition(':')[0]}"
        self._texts = [
            f"# Measured on a GPU\n\n{time.strftime('%Y-%m-%d')}, {machine(args.device)}, "
            f"torch {torch.__version__}, CUDA {torch.version.cuda}; {library_versions()}.\n"
            f"Written by `python bench/gpu.py {options}`.\n"
        ]

    @property
    def seconds_left(self) -> float:
        """Seconds until the minutes of the command line are over; 0 after that."""
        return max(0.0, self._deadline - time.monotonic())

    def begin_part(self, title: str) -> None:
        """Print and write the title of a part."""
        print(f"{title} …", flush=True)
        self.add_text(f"## {title}\n")

    def add_text(self, text: str) -> None:
        """Append Markdown, and write the file."""
        self._texts.append(text)
        self.file.write_text("\n".join(self._texts), encoding="utf-8")

    def add_failure(self, title: str, reason: str) -> None:
        """Note in the file and in the summary that a part has failed."""
        self.failed_parts.append(title)
        self.add_text(f"Failed: {reason.strip()}\n")
        first_line = (reason.strip().splitlines() or [""])[0]
        self.add_summary_line(f"{title}: FAILED, {first_line[:150]}")

    def add_summary_line(self, line: str) -> None:
        """Print a line now, and keep it for the summary."""
        print(f"  {line}", flush=True)
        self._summary_lines.append(line)

    def summary(self) -> str:
        """All summary lines."""
        return "\n".join(["", *self._summary_lines])


def run_tests(args: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """Run the tests marked gpu; gives the end of pytest's output."""
    command = ["pytest", "-m", "gpu", "-rfE", "--no-header", str(ROOT / "tests" / "runtime")]
    code, text = run_module(command, TEST_SHARE * report.seconds_left)
    lines = text.strip().splitlines()[-40:]
    yield "```\n" + "\n".join(lines) + "\n```\n"
    if code:
        report.add_failure("Tests", lines[-1] if lines else f"exit code {code}")
    else:
        report.add_summary_line(f"tests: {lines[-1].strip('= ')}")


def measure_stacks(args: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """Measure training steps by `bench.stacks`; gives a table for each network."""
    seconds = STACK_SHARE / (1 - TEST_SHARE) * report.seconds_left
    for index, (network, size) in enumerate((QUICK_SIZES if args.quick else SIZES).items()):
        file = folder / f"{network}.jsonl"
        share = seconds / len(SIZES)  # of the time, for this network
        command = ["bench.stacks", network, str(file), "--size", *map(str, size)]
        command += ["--device", args.device, "--repeats", "1" if args.quick else "10"]
        limit = 1.5 * share + SECONDS_TO_END
        code, text = run_module([*command, "--seconds", f"{share:.0f}"], limit)
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        results = [StackResult(**json.loads(line)) for line in lines]
        yield _stack_table(network, size, results)
        report.add_summary_line(_stack_summary(network, results))
        if code:
            reason = (text.strip().splitlines() or [f"exit code {code}"])[-1]
            report.add_failure(f"Stack {index + 1}, {network}", reason)


def _stack_table(network: str, size: Size, results: Sequence[StackResult]) -> str:
    """The results for a network in Markdown."""
    unit = "tokens/s" if NETWORKS[network].is_sequence_model else "pictures/s"
    rows = [["precision", "", "ms per step", "of plain", unit, "peak MiB", "gradients off"]]
    rows.append(["---"] * 2 + ["---:"] * 5)
    for result in (result for result in results if result.missing != NO_TIME):
        if result.missing:
            rows.append([result.precision, result.name, result.missing, "", "", "", ""])
            continue
        plain = _plain_result(results, result.precision)
        ratio = f"{result.seconds / plain.seconds:.2f}" if plain else ""
        error = "" if result.error is None else f"{result.error:.0e}"
        rows.append(
            [result.precision, result.name, f"{1000 * result.seconds:.1f}", ratio,
             f"{result.samples / result.seconds:,.0f}", f"{result.peak / MIB:,.1f}", error]
        )  # fmt: skip
    shape = f"{size.batch}×{size.channels}×{size.side}"
    title = f"### {NETWORKS[network].title}\n\nInput {shape}, {size.steps} steps; medians.\n"
    skipped = ", ".join(f"{r.name} {r.precision}" for r in results if r.missing == NO_TIME)
    note = [f"{NO_TIME.capitalize()}: {skipped}.\n"] if skipped else []
    return "\n".join([title, *map(table_row, rows), "", *note])


def _plain_result(results: Sequence[StackResult], precision: str) -> StackResult | None:
    """The result of plain autograd in a precision."""
    candidates = (r for r in results if r.precision == precision and not r.missing)
    return next((r for r in candidates if r.name == BASELINE), None)


def _stack_summary(network: str, results: Sequence[StackResult]) -> str:
    """Time and memory of odenet and of checkpointing, as ratios to plain autograd, in a line."""
    parts = []
    for result in results:
        plain = _plain_result(results, result.precision)
        if result.name in ("odenet", "torch.utils.checkpoint") and plain and not result.missing:
            time, memory = result.seconds / plain.seconds, result.peak / max(1, plain.peak)
            parts.append(f"{result.name} {result.precision} {time:.2f} time {memory:.2f} memory")
    return f"{network}, of plain autograd: {'; '.join(parts) or 'nothing measured'}"


def train_networks(args: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """Train networks of the paper in the time that is left; gives a table."""
    rows = [["network", "parameters", "epochs", "share of the pictures", "test accuracy (%)",
             "paper, 160 epochs on CIFAR-10 (%)", "pictures/s", "peak MiB"]]  # fmt: skip
    rows.append(["---"] + ["---:"] * 7)
    settings = [*(QUICK_SETTINGS if args.quick else []), *args.set]

    def train(arguments: Sequence[str], seconds: float) -> None:
        code, text = run_module(["odenet", "train", *arguments], seconds)
        if code:
            raise RuntimeError("\n".join(text.strip().splitlines()[-5:]))

    for index, name in enumerate(args.networks):
        time_share = report.seconds_left / (len(args.networks) - index)
        if time_share < MIN_TRAINING_SECONDS:
            report.add_summary_line(f"{name}: no time was left to train it")
            yield f"No time was left to train {name}.\n"
            continue
        try:
            trained = train_within(name, args.data, settings, folder, time_share, train)
        except Exception as error:
            report.add_failure(f"Training of {name}", f"{type(error).__name__}: {error}")
            continue
        rows.append(_accuracy_row(trained))
        accuracy = f"{100 * trained.result.accuracy:.2f} % after {trained.epochs} epochs"
        report.add_summary_line(f"{name}: {accuracy}, {PAPER_ACCURACY[name]} in 160")
    if len(rows) > 2:  # there is a network below the two rows of the header
        yield (
            "Batch, optimizer and penalties are the paper's. Its 160 epochs are shortened, and the "
            "learning rate is cut after the same shares of them.\n"
        )
        yield "\n".join([*map(table_row, rows), ""])


def _accuracy_row(trained: TrainedNetwork) -> list[str]:
    """The cells of a trained network."""
    result = trained.result
    peak = "" if result.memory is None else f"{result.memory / MIB:,.0f}"
    accuracy, speed = f"{100 * result.accuracy:.2f}", f"{result.samples_per_second:,.0f}"
    parameters, fraction = f"{result.parameters:,}", f"{trained.fraction:.2f}"
    paper = f"{PAPER_ACCURACY[trained.name]:.2f}"
    epochs = str(trained.epochs)
    return [trained.name, parameters, epochs, fraction, accuracy, paper, speed, peak]


def run_module(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run `python -m command` for some seconds at most; gives its exit code and its output.

    The code is 124 if the time was over, as in the shell command `timeout`.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # Level 99 turns off all messages of torch's profiler.
    environment = os.environ | {"PYTHONPATH": path, "KINETO_LOG_LEVEL": "99"}
    try:
        child = subprocess.run([sys.executable, "-m", *command], env=environment,
                              capture_output=True, text=True, timeout=seconds)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode() if isinstance(output, bytes) else output
        return 124, f"{text}\nstopped after {seconds:.0f} s"
    return child.returncode, child.stdout + (child.stderr if child.returncode else "")


Part = Callable[[argparse.Namespace, Report, Path], Iterator[str]]
PARTS: dict[str, Part] = {
    "Tests": run_tests, "Stacks": measure_stacks, "Training": train_networks
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
