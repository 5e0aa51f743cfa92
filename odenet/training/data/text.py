"""Text files as streams of tokens: bytes, or what a tokenizer makes of them."""

import glob
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from odenet.extras import require
from odenet.model.tables.recipe import Call
from odenet.training.data.samples import DataSet, RandomStream, random_generator, text_split
from odenet.training.data.windows import Tokens, Windows
from odenet.training.errors import DataMisfit, UnreadableData

MAPPED_FROM = 2**28  # bytes; a larger file is mapped into memory instead of read
# Folders in that of Python's library which are not used as a part of it.
LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip"}


class TextCodec:
    """Converts a text to token numbers and back: to those of a tokenizer, or to its bytes.

    Args:
        tokenizer: the tokenizer's file; if empty, each byte is a token.
    """

    def __init__(self, tokenizer: str):
        self._tokenizer = load_tokenizer(tokenizer) if tokenizer else None

    def encode(self, text: np.ndarray) -> np.ndarray:
        """The tokens of a text in UTF-8, (n,) whole numbers."""
        if self._tokenizer is None:
            return text
        decoded = text.tobytes().decode("utf-8", errors="replace")
        ids = self._tokenizer.encode(decoded, add_special_tokens=False).ids
        return np.asarray(ids, dtype=np.uint32)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of some tokens; bytes that are not text become �."""
        if self._tokenizer is None:
            known = bytes(n if n < 256 else ord("?") for n in numbers)
            return known.decode("utf-8", errors="replace")
        return self._tokenizer.decode(list(numbers))


def text(data: Call, shape: Sequence[int]) -> DataSet:
    """The text of a file, or of all files of a pattern.

    Raises:
        TrainingError: there is none, it cannot be read, or is shorter than a window.
    """
    paths = sorted(Path(name) for name in glob.glob(data["path"], recursive=True))
    paths = [path for path in paths if path.is_file()]
    if not paths:
        raise UnreadableData(f"there is no file {data['path']}", "a path is relative to the spec")
    return _train_and_test(data, paths, shape[0], data["tokenizer"])


def python_sources(data: Call, shape: Sequence[int]) -> DataSet:
    """The sources of Python's standard library, of the Python that runs this."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(
        path
        for path in folder.rglob("*.py")
        if not LEFT_OUT.intersection(path.relative_to(folder).parts)
    )
    if not paths:
        raise UnreadableData(f"there are no sources of Python's library in {folder}")
    return _train_and_test(data, paths, shape[0])


def _train_and_test(data: Call, paths: Sequence[Path], size: int, tokenizer: str = "") -> DataSet:
    """The data set of some files: whole files for testing, or the end of a single one."""
    codec = TextCodec(tokenizer)
    share = data["test"]
    paths = _shuffled(paths)
    if len(paths) > 1:
        test_count = _test_file_count(paths, share)
        parts = paths[:test_count], paths[test_count:]
        test, train = (_windows(part, codec, size) for part in parts)
    else:
        train, test = _windows(paths, codec, size).split_off(share)
    for name, windows in (("training", train), ("test", test)):
        if windows.window_count < 1:
            raise DataMisfit(
                f"the {name} split of {data} has {windows.token_count:,} tokens, and a window "
                f"takes {size + 1:,}: {size:,} that the network reads and the one that follows",
                "give more text, another share for the test, or shorter windows: tokens(…)",
            )
    return DataSet(str(data), text_split(train), text_split(test), standardise=False)


def _shuffled(paths: Sequence[Path]) -> list[Path]:
    """The files that are not empty, in a random order that is always the same.

    Sorted by name, neighbouring files are alike (those of a package, say), and the test split,
    which is the beginning of the order, would be another kind of text than the rest.
    """
    paths = [path for path in paths if path.stat().st_size]
    return [paths[index] for index in random_generator(RandomStream.SPLIT).permutation(len(paths))]


def _test_file_count(paths: Sequence[Path], share: float) -> int:
    """How many of the first files hold about this share of all bytes; both splits get a file."""
    ends = np.cumsum([path.stat().st_size for path in paths])
    return min(len(paths) - 1, 1 + int(np.argmin(np.abs(ends - share * ends[-1]))))


def _windows(paths: Sequence[Path], codec: TextCodec, size: int) -> Windows:
    pieces = [codec.encode(_bytes_of(path)) for path in paths]
    tokens = Tokens(pieces, sum(path.stat().st_size for path in paths))
    return Windows(tokens, size, 0, len(tokens))


def _bytes_of(path: Path) -> np.ndarray:
    try:
        if path.stat().st_size > MAPPED_FROM:
            return np.memmap(path, dtype=np.uint8, mode="r")
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise UnreadableData(f"{path} cannot be read: {error.strerror or error}") from error


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
        raise UnreadableData(
            f"{path} cannot be read as a tokenizer: {error}",
            "give the tokenizer.json of the library `tokenizers`",
        ) from error
