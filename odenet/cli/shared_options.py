"""Options that several commands share, and how their values are read."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odenet.model.reading.settings import LENGTH_KEYS

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.diagnostics import Source
    from odenet.training.run_folder.records import Options

STANDARD_INPUT = Path("-")  # the file name that means the standard input

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
    str | None, typer.Option(help="Folder of published data sets [default: data].")
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the data set if it is not there.")
]


Run = Annotated[Path, typer.Argument(help="The folder of a run.")]
Last = Annotated[bool, typer.Option("--last", help="Take the last epoch's weights, not the best.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _load_plugins(paths: list[Path] | None) -> list[Path]:
    """Run the files of --plugin, before the command starts."""
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
    """The values of --set as a mapping, such as `{"h": "0.05"}`; later values replace earlier ones.

    If `steps` or `epochs` follows a preset, it replaces both of these keys of the preset.

    Args:
        settings: items of the form `NAME=VALUE` or `@PRESET`.
        spec: the specification that the presets belong to; None if there is none.

    Raises:
        typer.BadParameter: if an item has another form.
        SpecError: if the spec has no such preset.
    """
    values: dict[str, Any] = {}
    keys_from_presets: set[str] = set()
    for item in settings or []:
        name, equals, value = item.partition("=")
        if item.startswith("@") and spec is not None:
            from odenet.model.reading.presets import preset

            values |= (preset_values := preset(spec, item[1:]))
            keys_from_presets |= preset_values.keys()
        elif equals and name.strip() and value.strip():
            key = name.strip()
            if key in LENGTH_KEYS and keys_from_presets:
                replaced = LENGTH_KEYS & keys_from_presets
                values = {k: v for k, v in values.items() if k not in replaced}
            values[key] = value.strip()
            keys_from_presets.discard(key)
        else:
            raise typer.BadParameter(f"'{item}' is not of the form NAME=VALUE", param_hint="--set")
    return values


def suggest_setting(option: str) -> list[str]:
    """For an unknown option that is a key of recipes, the `--set` to use instead; else empty."""
    from odenet.model.tables.recipe import OPTIMIZERS, recipe_keys

    name = option.lstrip("-").replace("-", "_")
    if name not in recipe_keys():
        if not any(name in form for form in OPTIMIZERS.forms.values()):
            return []
        name = f"optimizer.{name}"
    return [f"--set {name}=VALUE"]


def run_options(run: Path | None, changes: dict[str, Any]) -> "Options":
    """The options of a run, updated by those of the command line.

    Args:
        run: the folder of the run; None for a new run, which starts from the defaults.
        changes: fields of `Options`; None where the command line has no such option.
    """
    from dataclasses import replace

    from odenet.training.run_folder.records import Options, RunFolder

    options = Options() if run is None else RunFolder(run).read_record().options
    return replace(options, **{name: value for name, value in changes.items() if value is not None})


def load_spec(file: Path, settings: Mapping[str, Any]) -> "Program":
    """Compile a file, or the standard input if it is `-`; raises SpecError."""
    from odenet.compiler import load, loads

    if file != STANDARD_INPUT:
        return load(file, settings)
    source = read_standard_input()
    return loads(source.text, settings, source.name)


def read_standard_input() -> "Source":
    """The text of the standard input; raises SpecError if it is not UTF-8."""
    from odenet.diagnostics import Source, SpecError

    try:
        return Source("<stdin>", sys.stdin.read())
    except UnicodeDecodeError:
        message = "this is not a text in UTF-8"
        help_ = "save it as UTF-8"
        raise SpecError.of("bad-setting", message, file="<stdin>", help=help_) from None
