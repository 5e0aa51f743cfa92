"""Published image sets, read by torchvision's classes, and downloaded only if asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity, download_url

from odenet.model.tables.data_sets import TorchvisionData
from odenet.training.checksums import sha256_of
from odenet.training.data.samples import DataSet, Split
from odenet.training.errors import TrainingError, UnreadableData


def load_archive(name: str, archive: TorchvisionData, root: Path, download: bool) -> DataSet:
    """Read both splits of a published set.

    Args:
        name: the name of the set in specs, as `cifar10`.
        archive: torchvision's class for it, and how that is called.
        root: the folder that published sets are in.
        download: fetch the set if it is not there.

    Raises:
        TrainingError: if it is missing, incomplete or damaged; names the file and says what to do.
    """
    dataset_class = _dataset_class(archive)
    fetch = download or _has_packed_files(dataset_class, root)
    try:
        if archive.sha256:
            _require_published(archive, root, download)
        train = dataset_class(str(root), download=fetch, **_split_argument(archive, True))
        test = dataset_class(str(root), download=fetch, **_split_argument(archive, False))
        classes = tuple(map(str, train.classes))
        return DataSet(name, _split(train, archive), _split(test, archive), classes)
    except TrainingError:
        raise
    except URLError as error:
        raise UnreadableData(
            f"{name} could not be fetched: {error.reason}", f"download it yourself, into {root}"
        ) from error
    except Exception as error:  # unpickling and reshaping damaged bytes raise nearly anything
        raise _explain(name, archive, root, error) from error


def _dataset_class(archive: TorchvisionData) -> Any:
    """Torchvision's class."""
    return getattr(datasets, archive.class_name)


def _split_argument(archive: TorchvisionData, train: bool) -> dict[str, Any]:
    """The argument of torchvision's class that chooses the training or the test split."""
    if archive.split_argument == "train":
        return {"train": train}
    return {"split": "train" if train else "test"}


def _require_published(archive: TorchvisionData, root: Path, download: bool) -> None:
    """Refuse a packed file that is not the published one, before anything is unpacked from it.

    If there is none, and the set is not unpacked yet, it is downloaded first, if that was asked.
    """
    dataset_class = _dataset_class(archive)
    packed = root / dataset_class.filename
    unpacked = all(is_complete(path) for path, is_complete in _files(dataset_class, root))
    if download and not unpacked and not packed.exists():
        download_url(dataset_class.url, str(root), dataset_class.filename, dataset_class.tgz_md5)
    if packed.is_file() and sha256_of(packed) != archive.sha256:
        raise UnreadableData(f"{packed} is not the published file", "delete it and fetch it again")


def _split(data: Any, archive: TorchvisionData) -> Split:
    images = torch.as_tensor(np.asarray(data.data))
    if images.dim() == 3:
        images = images[:, None]
    if archive.channels_last:
        images = images.permute(0, 3, 1, 2)
    labels = data.targets if hasattr(data, "targets") else data.labels
    return Split(images.contiguous(), torch.as_tensor(np.asarray(labels)).long())


def _explain(name: str, archive: TorchvisionData, root: Path, error: Exception) -> TrainingError:
    """The error that says which file is missing or damaged."""
    advice = f"fetch it: add --download --data-root {root} ({archive.download_size})"
    files = _files(_dataset_class(archive), root)
    absent = [path for path, _ in files if not path.is_file()]
    if len(absent) == len(files):
        folder = files[0][0].parent
        return UnreadableData(
            f"{name} is not in {root}",
            f"{advice}\nor point --data-root at the folder that has {folder.relative_to(root)}",
        )
    damaged = [path for path, is_complete in files if path.is_file() and not is_complete(path)]
    if absent or damaged:
        problem = f"{absent[0]} is missing" if absent else f"{damaged[0]} is damaged"
        return UnreadableData(f"{name} cannot be read: {problem}", f"delete it and {advice}")
    return UnreadableData(f"{name} in {root} cannot be read: {error}", advice)


def _files(dataset_class: Any, root: Path) -> list[tuple[Path, Callable[[Path], bool]]]:
    """The files a set is read from, each with a function that says whether it is complete."""
    if issubclass(dataset_class, datasets.MNIST):
        names = [Path(packed).stem for packed, _ in dataset_class.resources]
        return [(root / dataset_class.__name__ / "raw" / name, _is_complete_idx) for name in names]
    listed = [*dataset_class.train_list, *dataset_class.test_list]
    if hasattr(dataset_class, "meta"):
        listed.append([dataset_class.meta["filename"], dataset_class.meta["md5"]])
    base = root / dataset_class.base_folder
    return [(base / name, lambda p, md5=md5: check_integrity(str(p), md5)) for name, md5 in listed]


def _has_packed_files(dataset_class: Any, root: Path) -> bool:
    """Whether a set in MNIST's format is there in packed files; `download` then only unpacks."""
    if not issubclass(dataset_class, datasets.MNIST):
        return False
    raw = root / dataset_class.__name__ / "raw"
    return all(check_integrity(str(raw / name), md5) for name, md5 in dataset_class.resources)


def _is_complete_idx(path: Path) -> bool:
    """Whether an IDX file (MNIST's format, a byte per item) is as long as its header says."""
    with path.open("rb") as file:
        head = file.read(4)
        axes = head[3] if len(head) == 4 else 0
        sizes = file.read(4 * axes)
    if axes == 0 or len(sizes) < 4 * axes:
        return False
    items = int(np.prod(np.frombuffer(sizes, dtype=">i4")))
    return path.stat().st_size == 4 + 4 * axes + items
