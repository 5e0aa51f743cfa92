"""The data sets of `data = …` as a table. The functions that load them are in `odenet.training`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.model.tables.argument_kinds import ListOf, Number, Text
from odenet.model.tables.choices import Parameter


@dataclass(frozen=True, kw_only=True)
class TorchvisionData:
    """A data set of pictures that torchvision downloads and loads.

    Args:
        class_name: the name of the class in `torchvision.datasets`.
        download_size: how large the download is, as text.
        split_argument: what chooses a split: "train", which is a bool, or "split", a string.
        channels_last: whether torchvision keeps the pictures as (N, H, W, C).
        sha256: the hash of the archive, if it contains pickles; torchvision checks only an MD5.
    """

    class_name: str
    download_size: str
    split_argument: str = "train"
    channels_last: bool = False
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class DataSetKind:
    """One data set.

    Args:
        name: its name in the language.
        source: a torchvision data set, or the "module:function" that loads it, called with
            `data = NAME(…)`, its arguments checked, and the input shape of the network.
        arguments: what it takes, by name, in positional order.
        contents: the numbers of samples and classes, as text; empty if they depend on arguments.
    """

    name: str
    source: TorchvisionData | str
    arguments: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    contents: str = ""


_POINTS = {
    "n": Parameter(Number(10, 10**7, whole=True), "is the number of points", 2000),
    "noise": Parameter(Number(0), "is the deviation of the noise on the points", 0.05),
}
_SHAPES = {
    "n": Parameter(Number(10, 10**6, whole=True), "is the number of pictures", 1000),
    "noise": Parameter(Number(0), "is the deviation of the noise, where white is 1", 0.2),
}
_TEST_SHARE = Parameter(
    Number(0, 1, open_low=True, open_high=True), "is the share that is kept for the test", 0.1
)
_RINGS = Parameter(Number(2, 10, whole=True), "is how many rings there are", 2)
_TABLE = {
    "path": Parameter(Text(), "is a table whose first row names its columns"),
    "target": Parameter(ListOf(Text()), "names the column, or columns, to predict"),
    "without": Parameter(ListOf(Text()), "lists columns to leave out", ()),
}


def _path(meaning: str) -> dict[str, Parameter]:
    return {"path": Parameter(Text(), meaning)}


ROWS = (
    DataSetKind(
        name="digits",
        source="odenet.training.data.data_sets:digits",
        contents="1,437 training and 360 test pictures, 10 classes",
    ),
    DataSetKind(
        name="cifar10",
        source=TorchvisionData(
            class_name="CIFAR10",
            download_size="170 MB",
            channels_last=True,
            sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
        contents="50,000 training and 10,000 test pictures, 10 classes",
    ),
    DataSetKind(
        name="cifar100",
        source=TorchvisionData(
            class_name="CIFAR100",
            download_size="169 MB",
            channels_last=True,
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        ),
        contents="50,000 training and 10,000 test pictures, 100 classes",
    ),
    DataSetKind(
        name="stl10",
        source=TorchvisionData(class_name="STL10", download_size="2.6 GB", split_argument="split"),
        contents="5,000 training and 8,000 test pictures, 10 classes",
    ),
    DataSetKind(
        name="fashion_mnist",
        source=TorchvisionData(class_name="FashionMNIST", download_size="31 MB"),
        contents="60,000 training and 10,000 test pictures, 10 classes",
    ),
    DataSetKind(
        name="folder",
        source="odenet.training.data.data_sets:folder",
        arguments=_path("is the folder with one folder of images per class"),
    ),
    DataSetKind(
        name="arrays",
        source="odenet.training.data.data_sets:arrays",
        arguments=_path("is an .npz file with arrays x and y"),
    ),
    DataSetKind(name="table", source="odenet.training.data.data_sets:table", arguments=_TABLE),
    DataSetKind(
        name="masks",
        source="odenet.training.data.data_sets:masks",
        arguments=_path("is a folder of pictures and their class maps"),
    ),
    DataSetKind(
        name="text",
        source="odenet.training.data.text:text",
        arguments={
            "path": Parameter(Text(), "is a file, or a pattern such as corpus/*.py"),
            "tokenizer": Parameter(
                Text(), "is the tokenizer.json that makes tokens; bytes without one", ""
            ),
            "test": _TEST_SHARE,
        },
    ),
    DataSetKind(
        name="python_sources",  # of Python's standard library
        source="odenet.training.data.text:python_sources",
        arguments={"test": _TEST_SHARE},
    ),
    DataSetKind(
        name="rings",
        source="odenet.training.data.data_sets:rings",
        arguments=_POINTS | {"rings": _RINGS},
    ),
    DataSetKind(name="shapes", source="odenet.training.data.data_sets:shapes", arguments=_SHAPES),
    DataSetKind(name="moons", source="odenet.training.data.data_sets:moons", arguments=_POINTS),
)

DATA_SETS = {row.name: row for row in ROWS}
