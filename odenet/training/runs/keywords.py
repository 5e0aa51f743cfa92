"""The options of the command line as keyword arguments."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypedDict, get_type_hints

from odenet.byte_sizes import parse_size
from odenet.model.reading.settings import data_setting
from odenet.training.errors import BadOption
from odenet.training.run_folder.records import Options
from odenet.training.schema import Mismatch

SHORT_RECIPE_KEYS = {"lr": "optimizer.lr"}  # what an option is called in the recipe
MEMORY_MODES = ("reversible", "stored", "checkpoint")


class RunKeywords(TypedDict, total=False):
    """What `odenet train` takes: keys of the recipe, and fields of `Options`."""

    epochs: int
    batch: int
    lr: float
    fraction: float
    seed: int
    precision: str
    guard: str
    on_nan: str
    data_root: str
    download: bool
    devices: int | str
    nodes: int
    strategy: str
    memory: str | int | None
    exact: bool
    compile: bool
    logger: str
    deterministic: bool
    update_in_backward: bool
    clip_by: str


class NewRunKeywords(RunKeywords, total=False):
    """The same, with what a new run alone can be given."""

    weights: str | None


def settings_and_options(
    settings: Mapping[str, Any] | None, options: Options, keywords: RunKeywords, data: Any = None
) -> tuple[dict[str, Any], Options]:
    """The values for the spec, and where it runs, with what keywords say over both.

    Args:
        settings: values for the spec.
        options: where it runs.
        keywords: see `Keywords`.
        data: a name of data is a value for the spec; others are left to the caller.

    Raises:
        TrainingError: a size cannot be read, or a keyword is none of these.
    """
    own = {field.name for field in fields(Options)}
    known = get_type_hints(NewRunKeywords)
    unknown = [name for name in keywords if name not in known]
    if unknown:
        raise BadOption(
            f"there is no option `{unknown[0]}`",
            f"the options are {', '.join(known)}; other keys of the recipe, and "
            "numbers of the spec, go into set={…}",
        )
    where: dict[str, Any] = {name: value for name, value in keywords.items() if name in own}
    if "memory" in where:
        where["memory"] = parse_memory(where["memory"])
    try:
        options = replace(options, **where)
    except Mismatch as error:
        raise BadOption(str(error)) from error
    found = {
        SHORT_RECIPE_KEYS.get(name, name): v for name, v in keywords.items() if name not in own
    }
    if isinstance(data, str):
        found["data"] = data_setting(data)
    return {**(settings or {}), **found}, options


def parse_memory(given: str | int | None) -> str | int | None:
    """A mode, or a size in bytes; raises TrainingError for others."""
    if given is None or isinstance(given, int) or given in MEMORY_MODES:
        return given
    size = parse_size(given)
    if size is None:
        help_ = "reversible, stored, checkpoint, or a size such as 500MB or 2GiB"
        raise BadOption(f"memory is {given}", help_)
    return size
