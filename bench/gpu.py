"""What is to be known of a GPU, in one command and without a network.

    python bench/gpu.py --minutes 8 --data folder:DIR

runs the tests marked `gpu`, measures stacks of three networks beside plain autograd, checkpointing
and torch's activation budget, and trains networks of the paper for the minutes that are left. It
prints a short table last, and writes RESULTS-gpu.md. A part that fails says so, and the others run.
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

from bench.networks import NETWORKS  # noqa: E402
from bench.paper import PAPER, Trained, trained  # noqa: E402
from bench.results import cells, machine, peers  # noqa: E402
from bench.stacks import NO_TIME, Stack  # noqa: E402

MIB = 2**20
TESTS, STACKS = 0.25, 0.4  # of the minutes, at most; the rest is for training
LEAST = 20  # seconds without which no training is begun
# Batch, channels, side or tokens, and steps.
SIZES = {
    "hamiltonian": (128, 64, 32, 16),
    "momentum": (128, 32, 32, 16),
    "transformer": (32, 2 * 384, 256, 12),
}
QUICK = {name: (2, 12, 6, 2) for name in SIZES}
QUICK_SETTINGS = ["n=2", "w=4", "batch=8", "augment=[]"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; gives 1 if there is no card, or if a part has failed."""
    given = _options().parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(f"bench/gpu.py needs a CUDA card, and torch {torch.__version__} finds none")
        return 1
    report = Report(given)
    with TemporaryDirectory() as folder:
        for title, part in PARTS.items():
            report.begin(title)
            try:
                for text in part(given, report, Path(folder)):
                    report.add(text)
            except Exception as error:
                report.fail(title, f"{type(error).__name__}: {error}")
    print(report.summary())
    print(f"wrote {report.file}")
    return int(bool(report.failed))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8, help="in all [default: 8]")
    parser.add_argument("--data", default="digits", help="as in odenet train [default: digits]")
    parser.add_argument("--networks", nargs="+", choices=PAPER, metavar="NAME",
                        default=["hamiltonian-74", "resnet-32"],
                        help=f"to train: {', '.join(PAPER)}")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="of the training, as in odenet train")  # fmt: skip
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--output", type=Path, default=ROOT / "bench", help="folder of the results")
    return parser


class Report:
    """RESULTS-gpu.md, written after each part, and the lines of the short table.

    Args:
        given: the options.
    """

    def __init__(self, given: argparse.Namespace):
        given.output.mkdir(parents=True, exist_ok=True)
        self.file: Path = given.output / "RESULTS-gpu.md"
        self.failed: list[str] = []
        self._end = time.monotonic() + 60 * given.minutes
        self._short: list[str] = []
        call = f"--minutes {given.minutes:g} --data {given.data.partition(':')[0]}"
        self._parts = [
            f"# Measured on a GPU\n\n{time.strftime('%Y-%m-%d')}, {machine(given.device)}, "
            f"torch {torch.__version__}, CUDA {torch.version.cuda}; {peers()}.\n"
            f"Written by `python bench/gpu.py {call}`.\n"
        ]

    @property
    def left(self) -> float:
        """Seconds that are left of the minutes."""
        return max(0.0, self._end - time.monotonic())

    def begin(self, title: str) -> None:
        """A part follows."""
        print(f"{title} …", flush=True)
        self.add(f"## {title}\n")

    def add(self, text: str) -> None:
        """More of the part, written at once."""
        self._parts.append(text)
        self.file.write_text("\n".join(self._parts), encoding="utf-8")

    def fail(self, title: str, why: str) -> None:
        """A part has failed."""
        self.failed.append(title)
        self.add(f"Failed: {why.strip()}\n")
        self.shorten(f"{title}: FAILED, {(why.strip().splitlines() or [''])[0][:150]}")

    def shorten(self, line: str) -> None:
        """A line for the short table, printed at once as well: not everybody waits for the end."""
        print(f"  {line}", flush=True)
        self._short.append(line)

    def summary(self) -> str:
        """The short table."""
        return "\n".join(["", *self._short])


def tests(given: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """The tests marked gpu."""
    command = ["pytest", "-m", "gpu", "-rfE", "--no-header", str(ROOT / "tests" / "runtime")]
    code, text = call(command, TESTS * report.left)
    last = text.strip().splitlines()[-40:]
    yield "```\n" + "\n".join(last) + "\n```\n"
    if code:
        report.fail("Tests", last[-1] if last else f"exit code {code}")
    else:
        report.shorten(f"tests: {last[-1].strip('= ')}")


def stacks(given: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """Time, throughput and peak of a training step, network by network."""
    until = STACKS / (1 - TESTS) * report.left
    for place, (network, size) in enumerate((QUICK if given.quick else SIZES).items()):
        file = folder / f"{network}.jsonl"
        share = until / len(SIZES)
        command = ["bench.stacks", network, str(file), "--size", *map(str, size)]
        command += ["--device", given.device, "--repeats", "1" if given.quick else "10"]
        code, text = call([*command, "--seconds", f"{share:.0f}"], 1.5 * share + 60)
        lines = file.read_text("utf-8").splitlines() if file.is_file() else []
        found = [Stack(**json.loads(line)) for line in lines]
        yield _stack_table(network, size, found)
        report.shorten(_stack_line(network, found))
        if code:
            reason = (text.strip().splitlines() or [f"exit code {code}"])[-1]
            report.fail(f"Stack {place + 1}, {network}", reason)


def _stack_table(network: str, size: Sequence[int], found: Sequence[Stack]) -> str:
    unit = "tokens/s" if NETWORKS[network].sequence else "pictures/s"
    rows = [["precision", "", "ms per step", "of plain", unit, "peak MiB", "gradients off"]]
    rows.append(["---"] * 2 + ["---:"] * 5)
    for stack in (stack for stack in found if stack.missing != NO_TIME):
        if stack.missing:
            rows.append([stack.precision, stack.name, stack.missing, "", "", "", ""])
            continue
        plain = _plain(found, stack.precision)
        ratio = f"{stack.seconds / plain.seconds:.2f}" if plain else ""
        off = "" if stack.error is None else f"{stack.error:.0e}"
        rows.append(
            [stack.precision, stack.name, f"{1000 * stack.seconds:.1f}", ratio,
             f"{stack.samples / stack.seconds:,.0f}", f"{stack.peak / MIB:,.1f}", off]
        )  # fmt: skip
    shape = "×".join(map(str, size[:3]))
    title = f"### {NETWORKS[network].title}\n\nInput {shape}, {size[3]} steps; medians.\n"
    late = ", ".join(f"{s.name} {s.precision}" for s in found if s.missing == NO_TIME)
    more = [f"{NO_TIME.capitalize()}: {late}.\n"] if late else []
    return "\n".join([title, *map(cells, rows), "", *more])


def _plain(found: Sequence[Stack], precision: str) -> Stack | None:
    same = (s for s in found if s.precision == precision and not s.missing)
    return next((s for s in same if s.name == "plain autograd"), None)


def _stack_line(network: str, found: Sequence[Stack]) -> str:
    parts = []
    for stack in found:
        plain = _plain(found, stack.precision)
        if stack.name in ("odenet", "torch.utils.checkpoint") and plain and not stack.missing:
            time, memory = stack.seconds / plain.seconds, stack.peak / max(1, plain.peak)
            parts.append(f"{stack.name} {stack.precision} {time:.2f} time {memory:.2f} memory")
    return f"{network}, of plain autograd: {'; '.join(parts) or 'nothing measured'}"


def training(given: argparse.Namespace, report: Report, folder: Path) -> Iterator[str]:
    """Networks of the paper on the pictures."""
    rows = [["network", "parameters", "epochs", "share of the pictures", "test accuracy (%)",
             "paper, 160 epochs on CIFAR-10 (%)", "pictures/s", "peak MiB"]]  # fmt: skip
    rows.append(["---"] + ["---:"] * 7)
    settings = [*(QUICK_SETTINGS if given.quick else []), *given.set]

    def train(arguments: Sequence[str], seconds: float) -> None:
        code, text = call(["odenet", "train", *arguments], seconds)
        if code:
            raise RuntimeError("\n".join(text.strip().splitlines()[-5:]))

    for place, name in enumerate(given.networks):
        share = report.left / (len(given.networks) - place)
        if share < LEAST:
            report.shorten(f"{name}: no time was left to train it")
            yield f"No time was left to train {name}.\n"
            continue
        try:
            done = trained(name, given.data, settings, folder, share, train)
        except Exception as error:
            report.fail(f"Training of {name}", f"{type(error).__name__}: {error}")
            continue
        rows.append(_trained_row(done))
        accuracy = 100 * done.result.accuracy
        report.shorten(f"{name}: {accuracy:.2f} % after {done.epochs} epochs, {PAPER[name]} in 160")
    if len(rows) > 2:
        yield "The paper's batch, optimizer and penalties, its epochs and cuts compressed.\n"
        yield "\n".join([*map(cells, rows), ""])


def _trained_row(done: Trained) -> list[str]:
    result = done.result
    peak = "" if result.memory is None else f"{result.memory / MIB:,.0f}"
    accuracy, speed = f"{100 * result.accuracy:.2f}", f"{result.samples_per_second:,.0f}"
    size, share = f"{result.parameters:,}", f"{done.fraction:.2f}"
    paper = f"{PAPER[done.name]:.2f}"
    return [done.name, size, str(done.epochs), share, accuracy, paper, speed, peak]


def call(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """A module of Python in a process of its own; its exit code and its words."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "KINETO_LOG_LEVEL": "99"}
    try:
        done = subprocess.run([sys.executable, "-m", *command], env=environment,
                              capture_output=True, text=True, timeout=seconds)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode() if isinstance(output, bytes) else output
        return 124, f"{text}\nstopped after {seconds:.0f} s"
    return done.returncode, done.stdout + (done.stderr if done.returncode else "")


Part = Callable[[argparse.Namespace, Report, Path], Iterator[str]]
PARTS: dict[str, Part] = {"Tests": tests, "Stacks": stacks, "Training": training}


if __name__ == "__main__":
    sys.exit(main())
