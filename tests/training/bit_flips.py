"""Flips single bits in the files of a run, and counts the flips that reading does not detect.

    python -m tests.training.bit_flips --flips 20000

Each flip is in the next of the files that have a checksum, in themselves or in another file.
"""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from odenet.training.errors import TrainingError
from odenet.training.run_folder.checkpoints import read_checkpoint, read_weights
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.comparison import read_results
from odenet.training.runs.run import train

SPEC = """odenet 1
state Y, Z
param K1, K2 : dense
Y' =  K1^T tanh(K1 Z)
Z' = -K2^T tanh(K2 Y)
discretise verlet(h = 0.1)
net = input(2) -> dense(8) -> flow(3) -> dense(2)
train {
    data   = moons(60)
    batch  = 16
    epochs = 1
}
"""


def is_flip_detected(path: Path, offset: int, bit: int, read: Callable[[], object]) -> bool:
    """Whether `read` refuses the file with this bit of this byte flipped; the bit is put back."""
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[offset] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        read()
    except TrainingError:
        return True
    finally:
        path.write_bytes(content)
    return False


def main() -> None:
    """Flip `--flips` bits, one at a time; exit with 1 if one was not detected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with TemporaryDirectory() as directory:
        spec, folder = Path(directory) / "small.ode", RunFolder(Path(directory) / "run")
        spec.write_text(SPEC, encoding="utf-8")
        train(spec, {}, out=str(folder.path), console=Console(quiet=True))
        best = folder.checkpoint("best")
        weights_digest = read_results([folder.path])[0].weights
        readers = {
            folder.record: folder.read_record,
            folder.spec: folder.read_record,  # the record has the checksum of the spec
            folder.result: lambda: read_results([folder.path]),
            best: lambda: read_checkpoint(best),
            folder.weights: lambda: read_weights(folder.weights, weights_digest),
        }
        undetected = 0
        for index in range(arguments.flips):
            path = list(readers)[index % len(readers)]
            offset, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
            if not is_flip_detected(path, offset, bit, readers[path]):
                undetected += 1
                print(f"{path.name}: bit {bit} of byte {offset}", flush=True)
        print(f"{arguments.flips} bits in {len(readers)} files, {undetected} undetected")
    sys.exit(1 if undetected else 0)


if __name__ == "__main__":
    main()
