"""Published image sets, read by torchvision's classes; never fetched unless asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity, download_url

from odenet.model.tables.data_sets import Published
from odenet.training.checksums import sha256_of
from odenet.training.data.samples import DataSet, Split
from odenet.training.errors import TrainingError, UnreadableData


def load_archive(name: str, archive: Published, root: Path, download: bool) -> DataSet:
    """Read both splits of a published set.

    Raises:
        TrainingError: if it is missing, incomplete or damaged; names the file and the way out.
    """
    kind = _kind(archive)
    fetch = download or _lies_packed(kind, root)
    try:
        if archive.sha256:
            _require_published(archive, root, download)
        train = kind(str(root), download=fetch, **_choice(archive, True))
        test = kind(str(root), download=fetch, **_choice(archive, False))
        classes = tuple(map(str, train.classes))
        return DataSet(name, _split(train, archive), _split(test, archive), classes)
    except TrainingError:
        raise
    except URLError as error:
        raise UnreadableData(
            f"{name} could not be fetched: {error.reason}", f"put it into {root} by other means"
        ) from error
    except Exception as error:  # unpickling and reshaping damaged bytes raise nearly anything
        raise _explain(name, archive, root, error) from error


def _kind(archive: Published) -> Any:
    """Torchvision's class."""
    return getattr(datasets, archive.kind)


def _choice(archive: Published, train: bool) -> dict[str, Any]:
    """The argument of torchvision's class that chooses the training or the test split."""
    return {"train": train} if archive.split == "train" else {"split": "train" if train else "test"}


def _require_published(archive: Published, root: Path, download: bool) -> None:
    """Refuse a packed file that is not the published one, before anything is unpacked from it."""
    kind = _kind(archive)
    packed = root / kind.filename
    unpacked = all(whole(path) for path, whole in _files(kind, root))
    if download and not unpacked and not packed.exists():
        download_url(kind.url, str(root), kind.filename, kind.tgz_md5)
    if packed.is_file() and sha256_of(packed) != archive.sha256:
        raise UnreadableData(f"{packed} is not the published file", "delete it and fetch it again")


def _split(data: Any, archive: Published) -> Split:
    images = torch.as_tensor(np.asarray(data.data))
    if images.dim() == 3:
        images = images[:, None]
    if archive.channels_last:
        images = images.permute(0, 3, 1, 2)
    labels = data.targets if hasattr(data, "targets") else data.labels
    return Split(images.contiguous(), torch.as_tensor(np.asarray(labels)).long())


def _explain(name: str, archive: Published, root: Path, error: Exception) -> TrainingError:
    """Say which file is missing or damaged."""
    fetch = f"fetch it: add --download --data-root {root} ({archive.size})"
    files = _files(_kind(archive), root)
    absent = [path for path, _ in files if not path.is_file()]
    if len(absent) == len(files):
        place = files[0][0].parent
        return UnreadableData(
            f"{name} is not in {root}",
            f"{fetch}\nor point --data-root at the folder that has {place.relative_to(root)}",
        )
    damaged = [path for path, whole in files if path.is_file() and not whole(path)]
    if absent or damaged:
        what = f"{absent[0]} is missing" if absent else f"{damaged[0]} is damaged"
        return UnreadableData(f"{name} cannot be read: {what}", f"delete it and {fetch}")
    return UnreadableData(f"{name} in {root} cannot be read: {error}", fetch)


def _files(kind: Any, root: Path) -> list[tuple[Path, Callable[[Path], bool]]]:
    """The files a set is read from, each with a test of whether it is whole."""
    if issubclass(kind, datasets.MNIST):
        names = [Path(packed).stem for packed, _ in kind.resources]
        return [(root / kind.__name__ / "raw" / name, _idx_whole) for name in names]
    listed = [*kind.train_list, *kind.test_list]
    if hasattr(kind, "meta"):
        listed.append([kind.meta["filename"], kind.meta["md5"]])
    return [
        (root / kind.base_folder / name, lambda path, md5=md5: check_integrity(str(path), md5))
        for name, md5 in listed
    ]


def _lies_packed(kind: Any, root: Path) -> bool:
    """Whether a set of MNIST's kind lies there packed and whole: `download` then only unpacks."""
    if not issubclass(kind, datasets.MNIST):
        return False
    raw = root / kind.__name__ / "raw"
    return all(check_integrity(str(raw / name), md5) for name, md5 in kind.resources)


def _idx_whole(path: Path) -> bool:
    """Whether an IDX file is as long as its header says."""
    with path.open("rb") as file:
        head = file.read(4)
        axes = head[3] if len(head) == 4 else 0
        sizes = file.read(4 * axes)
    if axes == 0 or len(sizes) < 4 * axes:
        return False
    items = int(np.prod(np.frombuffer(sizes, dtype=">i4")))
    return path.stat().st_size == 4 + 4 * axes + items
