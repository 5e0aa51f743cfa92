"""Options that several commands share."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odenet.model.reading.settings import LENGTH

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.diagnostics import Source
    from odenet.training.run_folder.records import Options

STANDARD = Path("-")  # a file's name that means the standard input

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set a number of the spec, or a key of its recipe; @NAME sets those of a preset, "
        "as in @hamiltonian-218.",
    ),
]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="A data set as recipes name it, such as digits or cifar10, or folder:PATH with one "
        "folder of pictures per class.",
    ),
]
DataRoot = Annotated[
    str | None, typer.Option(help="Where published data sets lie or are put [default: data].")
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the data set if it is not there.")
]


Run = Annotated[Path, typer.Argument(help="The folder of a run.")]
Last = Annotated[bool, typer.Option("--last", help="The last epoch's weights, not the best's.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def _load_plugins(paths: list[Path] | None) -> list[Path]:
    from odenet.plugins import load_plugin

    for path in paths or []:
        load_plugin(path)
    return paths or []


Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_load_plugins,
        help="Run a Python file that registers activations, layers, parameters, claims or maps.",
    ),
]


def read_settings(settings: list[str] | None, spec: Path | None) -> dict[str, Any]:
    """`["h=0.05"]` as a mapping; of two values for a name the later counts.

    What a preset says of `steps` or `epochs` gives way to either of them.

    Args:
        settings: each `NAME=VALUE` or `@PRESET`.
        spec: whose presets these are; None where there is no spec.

    Raises:
        typer.BadParameter: if an item is not of that form.
        SpecError: if the spec has no such preset.
    """
    found: dict[str, Any] = {}
    of_presets: set[str] = set()
    for item in settings or []:
        name, equals, value = item.partition("=")
        if item.startswith("@") and spec is not None:
            from odenet.model.reading.presets import preset

            found |= (given := preset(spec, item[1:]))
            of_presets |= given.keys()
        elif equals and name.strip() and value.strip():
            key = name.strip()
            if key in LENGTH and of_presets:
                found = {k: v for k, v in found.items() if k not in LENGTH & of_presets}
            found[key] = value.strip()
            of_presets.discard(key)
        else:
            raise typer.BadParameter(f"'{item}' is not of the form NAME=VALUE", param_hint="--set")
    return found


def setting_of(option: str) -> list[str]:
    """What to write for an option that a command does not have, and a recipe does."""
    from odenet.model.tables.recipe import OPTIMIZERS, recipe_keys

    name = option.lstrip("-").replace("-", "_")
    if name not in recipe_keys():
        if not any(name in form for form in OPTIMIZERS.forms.values()):
            return []
        name = f"optimizer.{name}"
    return [f"--set {name}=VALUE"]


def run_options(run: Path | None, given: dict[str, Any]) -> "Options":
    """The options on the command line, over those the run began with."""
    from dataclasses import replace

    from odenet.training.run_folder.records import Options, RunFolder

    before = Options() if run is None else RunFolder(run).read_record().options
    return replace(before, **{name: value for name, value in given.items() if value is not None})


def load_spec(file: Path, settings: Mapping[str, Any]) -> "Program":
    """Compile a file, or the standard input where it is called `-`; raises SpecError."""
    from odenet.compiler import load, loads

    if file != STANDARD:
        return load(file, settings)
    source = standard_input()
    return loads(source.text, settings, source.name)


def standard_input() -> "Source":
    """The text of the standard input; raises SpecError if it is none."""
    from odenet.diagnostics import Source, SpecError

    try:
        return Source("<stdin>", sys.stdin.read())
    except UnicodeDecodeError:
        message = "this is not a text in UTF-8"
        raise SpecError.of(
            "bad-setting", message, file="<stdin>", help="save it as UTF-8"
        ) from None
