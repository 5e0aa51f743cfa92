"""Files that contain their own SHA-256 checksum, so that damage is noticed when they are read.

Such a file is called sealed. JSON files have the checksum as their last entry, zip archives (torch
checkpoints) in the comment at their end.
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
_ZIP_END = b"PK\x05\x06"  # starts an archive's last record, which ends in the comment's length
_ZIP_END_SIZE = 22
_SEAL_PREFIX = b"sha256:"
_SEAL_SIZE = len(_SEAL_PREFIX) + 64
_CHUNK_SIZE = 1 << 20  # bytes read at once


def sealed_json(value: Mapping[str, Any]) -> str:
    """A mapping as JSON text whose last entry is the checksum of the text before it."""
    body = to_json(value, indent=2, unknown=str).removesuffix("\n}")
    return f'{body},\n  "sha256": "{sha256(body.encode()).hexdigest()}"\n}}\n'


RESTORE_COPY = "take it from a copy of the run"  # the help for files that nothing else can restore


def read_sealed_json(path: Path, kind: type[T], help: str = RESTORE_COPY) -> T:
    """An instance of a dataclass, read from a file with the text of `sealed_json`.

    Args:
        path: the file.
        kind: the dataclass, as `read_as` takes it.
        help: what the user should do if the file is damaged, for the message.

    Raises:
        TrainingError: the file is damaged, or an entry has the wrong type.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = _parse_json(text)
        seal = _JSON_SEAL.fullmatch(text)
        if seal is None or sha256(seal[1].encode()).hexdigest() != seal[2]:
            raise Mismatch("its content is not what its checksum was taken of")
        del content["sha256"]
        return read_as(kind, content)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a Mismatch
        problem = "it is not a text" if isinstance(error, UnicodeDecodeError) else str(error)
        help_ = f"it was damaged or changed since odenet wrote it; {help}"
        raise BadRunFolder(f"{path} cannot be used: {problem}", help_) from error


def _parse_json(text: str) -> Any:
    """The value of a JSON text; raises ValueError, which says what is wrong with the file."""
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
    """Append the checksum of a zip archive to it, as the comment that the format allows.

    Args:
        file: the archive, without a comment, open for reading and writing.
    """
    file.seek(-2, 2)  # the length of the comment, the archive's last two bytes
    file.write(_SEAL_SIZE.to_bytes(2, "little"))
    file.seek(0)
    digest = file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0, 2)
    file.write(_SEAL_PREFIX + digest.encode())


def verify_archive(path: Path) -> None:
    """Compare an archive with the checksum that `seal_archive` appended.

    Raises:
        Mismatch: the file is damaged, or has no checksum.
        OSError: the file cannot be read.
    """
    tail_size = _ZIP_END_SIZE + _SEAL_SIZE
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - tail_size, 0))
        tail = file.read()
        if not tail.startswith(_ZIP_END) or len(tail) < tail_size:
            raise Mismatch("it is cut short, or not a checkpoint of odenet")
        digest = _sha256_of_prefix(file, size - _SEAL_SIZE)
        if tail[_ZIP_END_SIZE:] != _SEAL_PREFIX + digest.encode():
            raise Mismatch("its content is not what its checksum was taken of")


def _sha256_of_prefix(file: BinaryIO, size: int) -> str:
    """The SHA-256 of the first bytes of a file."""
    digest = sha256()
    file.seek(0)
    while size > 0:
        chunk = file.read(min(size, _CHUNK_SIZE))
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()
