"""The options of `odenet train` as keyword arguments of `odenet.train`, `resume` and others."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypedDict, get_type_hints

from odenet.byte_sizes import parse_size
from odenet.model.reading.settings import data_setting
from odenet.training.errors import BadOption
from odenet.training.run_folder.records import Options
from odenet.training.schema import Mismatch

SHORT_KEYS = {"lr": "optimizer.lr"}  # options with another name than their recipe key
MEMORY_MODES = ("reversible", "stored", "checkpoint")


class RunKeywords(TypedDict, total=False):
    """The keyword arguments: keys of the recipe, explained at `Recipe`, and fields of `Options`."""

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
    """The keyword arguments for a new run; `weights` are those that it starts from."""

    weights: str | None


def apply_keywords(
    settings: Mapping[str, Any] | None, options: Options, keywords: RunKeywords, data: Any = None
) -> tuple[dict[str, Any], Options]:
    """The settings to compile a spec with, and the options to run it with, updated by keywords.

    Args:
        settings: values for the spec, as `--set` gives them.
        options: where and how it runs.
        keywords: see `RunKeywords`; each becomes a setting or an option.
        data: the name of a data set, which becomes a setting; any other value is ignored here.

    Raises:
        TrainingError: a size cannot be read, or a keyword is unknown.
    """
    fields_of_options = {field.name for field in fields(Options)}
    known = get_type_hints(NewRunKeywords)
    unknown = [name for name in keywords if name not in known]
    if unknown:
        others = "other keys of the recipe, and numbers of the spec, go into set={…}"
        help_ = f"the options are {', '.join(known)}; {others}"
        raise BadOption(f"there is no option `{unknown[0]}`", help_)
    values: dict[str, Any] = {**keywords}
    option_values = {name: values.pop(name) for name in keywords if name in fields_of_options}
    if "memory" in option_values:
        option_values["memory"] = parse_memory(option_values["memory"])
    try:
        options = replace(options, **option_values)
    except Mismatch as error:
        raise BadOption(str(error)) from error
    spec_values = {SHORT_KEYS.get(name, name): value for name, value in values.items()}
    if isinstance(data, str):
        spec_values["data"] = data_setting(data)
    return {**(settings or {}), **spec_values}, options


def parse_memory(text: str | int | None) -> str | int | None:
    """The bytes of a size such as "2GB"; a mode, a number or None is returned unchanged."""
    if text is None or isinstance(text, int) or text in MEMORY_MODES:
        return text
    size = parse_size(text)
    if size is None:
        help_ = "reversible, stored, checkpoint, or a size such as 500MB or 2GiB"
        raise BadOption(f"memory is {text}", help_)
    return size
