"""Text files as streams of tokens: bytes, or what a tokenizer makes of them."""

import glob
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from odenet.extras import require
from odenet.model.tables.recipe import Call
from odenet.training.errors import TrainingError
from odenet.training.samples import DataSet, Stream, generator, of_text
from odenet.training.windows import Tokens, Windows

MAPPED = 2**28  # bytes of a file above which it stays on disk
Encoder = Callable[[Path], np.ndarray]  # a file's tokens, (n,) whole numbers
# folders of Python's library that hold no part of it
LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip"}


def text(data: Call, shape: Sequence[int]) -> DataSet:
    """The text of a file, or of all files of a pattern.

    Raises:
        TrainingError: there is none, it cannot be read, or is shorter than a window.
    """
    paths = sorted(Path(name) for name in glob.glob(data["path"], recursive=True))
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise TrainingError(
            "unreadable-data", f"there is no file {data['path']}", "a path is relative to the spec"
        )
    return _split(data, paths, shape[0], data["tokenizer"])


def python_sources(data: Call, shape: Sequence[int]) -> DataSet:
    """The sources of Python's standard library, of the Python that runs this."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(
        path
        for path in folder.rglob("*.py")
        if not LEFT_OUT.intersection(path.relative_to(folder).parts)
    )
    if not paths:
        raise TrainingError(
            "unreadable-data", f"there are no sources of Python's library in {folder}"
        )
    return _split(data, paths, shape[0])


def _split(data: Call, paths: Sequence[Path], size: int, tokenizer: str = "") -> DataSet:
    """Whole files for testing, drawn once for all; of a single file, its end."""
    encode = _encoder(tokenizer)
    share = data["test"]
    sizes = [path.stat().st_size for path in paths]
    if sum(map(bool, sizes)) > 1:
        held = _drawn(sizes, share)
        train, test = (
            _windows([p for p, h in zip(paths, held, strict=True) if h is w], encode, size)
            for w in (False, True)
        )
    else:
        train, test = _windows(paths, encode, size).cut(share)
    for name, windows in (("training", train), ("test", test)):
        if windows.samples < 1:
            raise TrainingError(
                "data-misfit",
                f"the {name} split of {data} has {windows.count:,} tokens, and a window takes "
                f"{size + 1:,}: {size:,} that the network reads and the one that follows",
                "give more text, another share for the test, or shorter windows: tokens(…)",
            )
    return DataSet(str(data), of_text(train), of_text(test), scaled=False)


def _drawn(sizes: Sequence[int], share: float) -> list[bool]:
    """Which files are for testing: as many as make up the share, in an order that never changes."""
    held, wanted = [False] * len(sizes), share * sum(sizes)
    for place in generator(Stream.SPLIT).permutation(len(sizes)):
        if not sizes[place]:
            continue
        if wanted <= 0 or sum(held) + 1 == sum(map(bool, sizes)):
            break
        held[place], wanted = True, wanted - sizes[place]
    return held


def _windows(paths: Iterable[Path], encode: Encoder, size: int) -> Windows:
    paths = list(paths)
    tokens = Tokens([encode(path) for path in paths], sum(path.stat().st_size for path in paths))
    return Windows(tokens, size, 0, len(tokens))


def _encoder(tokenizer: str) -> Encoder:
    """What makes token numbers of a file: its bytes, or what a tokenizer says."""
    if not tokenizer:
        return _bytes_of
    read = load_tokenizer(tokenizer)

    def encode(path: Path) -> np.ndarray:
        written = _bytes_of(path).tobytes().decode("utf-8", errors="replace")
        return np.asarray(read.encode(written, add_special_tokens=False).ids, dtype=np.uint32)

    return encode


def _bytes_of(path: Path) -> np.ndarray:
    try:
        if path.stat().st_size > MAPPED:
            return np.memmap(path, dtype=np.uint8, mode="r")
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise TrainingError(
            "unreadable-data", f"{path} cannot be read: {error.strerror or error}"
        ) from error


def load_tokenizer(path: str) -> Any:
    """A tokenizer of the library `tokenizers`, from its file.

    Raises:
        MissingLibraries: the library is not installed.
        TrainingError: there is no such file, or it is something else.
    """
    require("text", "a tokenizer")
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing more precise
        raise TrainingError(
            "unreadable-data",
            f"{path} cannot be read as a tokenizer: {error}",
            "give the tokenizer.json of the library `tokenizers`",
        ) from error
