"""Files with a checksum of their own, so that damage is found before anything uses it.

The checksum is a part of the file, not a second file: the two cannot come apart.
"""

import re
from collections.abc import Mapping
from hashlib import file_digest, sha256
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from odenet.json_text import from_json, to_json
from odenet.training.errors import BadRunFolder
from odenet.training.schema import Mismatch, read_as

T = TypeVar("T")
_JSON_SEAL = re.compile(r'(.*),\n  "sha256": "([0-9a-f]{64})"\n}\n', re.DOTALL)
_ZIP_END = b"PK\x05\x06"  # the record at the end of an archive; its last 2 bytes count a comment
_ZIP_END_SIZE = 22
_SEAL_PREFIX = b"sha256:"
_SEAL_SIZE = len(_SEAL_PREFIX) + 64
_CHUNK_SIZE = 1 << 20  # bytes read at once


def sealed_json(value: Mapping[str, Any]) -> str:
    """A mapping as JSON text that ends in the checksum of what is before it."""
    body = to_json(value, indent=2, unknown=str).removesuffix("\n}")
    return f'{body},\n  "sha256": "{sha256(body.encode()).hexdigest()}"\n}}\n'


RESTORE_COPY = "take it from a copy of the run"  # what helps where a file cannot be made again


def read_sealed_json(path: Path, kind: type[T], way_out: str = RESTORE_COPY) -> T:
    """A dataclass from a file of `sealed_json`.

    Args:
        path: the file.
        kind: the dataclass, as `read_as` takes it.
        way_out: what to do where it is damaged.

    Raises:
        TrainingError: the file is damaged, or does not hold what it should; says what is wrong.
        OSError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _parse_json(text)
        seal = _JSON_SEAL.fullmatch(text)
        if seal is None or sha256(seal[1].encode()).hexdigest() != seal[2]:
            raise Mismatch("its content is not what its checksum was taken of")
        del found["sha256"]
        return read_as(kind, found)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a Mismatch
        said = "it is not a text" if isinstance(error, UnicodeDecodeError) else str(error)
        help_ = f"it was damaged or changed since odenet wrote it; {way_out}"
        raise BadRunFolder(f"{path} cannot be used: {said}", help_) from error


def _parse_json(text: str) -> Any:
    """The value of a file's JSON; raises ValueError, which says what is wrong with the file."""
    if not text.strip("\0 \t\r\n"):
        raise Mismatch("it is empty")
    try:
        return from_json(text)
    except JSONDecodeError as error:
        if not text.rstrip().endswith("}"):
            raise Mismatch("it is cut short, as by a full disk or an interrupted copy") from error
        raise Mismatch(f"line {error.lineno} is not JSON") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def seal_archive(file: BinaryIO) -> None:
    """Append the checksum of a zip archive to it, as the comment that the format allows for.

    Args:
        file: the archive, open for reading and writing.
    """
    file.seek(-2, 2)
    file.write(_SEAL_SIZE.to_bytes(2, "little"))
    file.seek(0)
    digest = file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0, 2)
    file.write(_SEAL_PREFIX + digest.encode())


def verify_archive(path: Path) -> None:
    """Compare an archive with its checksum.

    Raises:
        Mismatch: it is damaged.
        OSError: it cannot be read.
    """
    tail_size = _ZIP_END_SIZE + _SEAL_SIZE
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - tail_size, 0))
        tail = file.read()
        if not tail.startswith(_ZIP_END) or len(tail) < tail_size:
            raise Mismatch("it is cut short, or not a checkpoint of odenet")
        if (
            tail[_ZIP_END_SIZE:]
            != _SEAL_PREFIX + _sha256_of_prefix(file, size - _SEAL_SIZE).encode()
        ):
            raise Mismatch("its content is not what its checksum was taken of")


def _sha256_of_prefix(file: BinaryIO, size: int) -> str:
    """The SHA-256 of the first bytes of a file."""
    digest = sha256()
    file.seek(0)
    while size > 0:
        piece = file.read(min(size, _CHUNK_SIZE))
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()
