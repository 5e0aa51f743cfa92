"""`odenet new`: writes a first spec, from a template that is fitted to the user's data."""

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from odenet.cli.output import say
from odenet.diagnostics import shell_quoted
from odenet.extras import require
from odenet.files import write_text

if TYPE_CHECKING:
    from odenet.training.data.data_description import DataDescription


LARGEST_SIDE = 32  # pixels of a flow's feature maps; larger pictures are downsampled before it


# The names of the templates in the folder `odenet/templates`.
Template = Literal["hamiltonian", "damped", "momentum", "language_model"]


def new(
    name: Annotated[str, typer.Argument(help="Name of the spec; NAME.ode is written.")],
    like: Annotated[Template | None, typer.Option(help="The kind of dynamics.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder with one folder of pictures per class, an .npz file, a .csv table or a "
            "text: sizes and classes are read from it."
        ),
    ] = None,
) -> None:
    """Write a first spec, with comments, which can be trained as it is.

    Without --data it trains on data that a library brings along. No existing file is replaced.
    """
    from odenet.diagnostics import Source, SpecError
    from odenet.language.format import format_source

    target = Path(name if name.endswith(".ode") else f"{name}.ode")
    if not re.fullmatch(r"[^\W\d]\w*", target.stem):
        raise typer.BadParameter(
            f"{target.stem!r} is not made of letters, digits and _ after a letter",
            param_hint="NAME",
        )
    if target.exists() or target.is_symlink():
        help_ = "choose another name, or remove it"
        message = "there is such a file, which is not replaced"
        raise SpecError.of("unwritable-file", message, file=str(target), help=help_)
    description = None if data is None else _describe(data, target.parent)
    is_text = description is not None and not description.shape  # all other data has a shape
    like = like or ("language_model" if is_text else "hamiltonian")
    if description is not None and is_text != (like == "language_model"):
        kind = "text" if like == "language_model" else "pictures and numbers"
        message = f"--like {like} reads {kind}, and {data} is other data"
        raise SpecError.of("data-misfit", message, help="leave --like out")
    text = (files("odenet") / "templates" / f"{like}.ode").read_text(encoding="utf-8")
    text = text if description is None else fit_template(text, description)
    write_text(target, format_source(Source(str(target), text)))
    path = shell_quoted(target)
    say(f"wrote {target}; next:\n")
    say(f"  odenet compile {path}           what is derived and proved of it")
    say(f"  odenet train {path} --epochs 1  whether it learns")
    say(f"  odenet train {path}             the whole training")


def _describe(data: Path, folder: Path) -> "DataDescription":
    """The data as a new spec describes it, with its path relative to the spec's folder."""
    require("train", "odenet new --data")
    from odenet.training.data.data_description import describe_data

    return describe_data(data, folder)


def fit_template(template: str, description: "DataDescription") -> str:
    """The text of a template, with data set, layers and loss changed to suit the described data."""
    text = _replace_first(template, r"(?<=    data      = ).*", description.data)
    if not description.shape:
        return text
    if len(description.shape) == 1:
        text = text.replace(": conv(3)", ": dense")
    if not description.predicts_classes:
        text = _replace_first(text, r"(?=    batch)", "    loss = mse\n")
        text = text.replace("scores of its classes", "numbers to predict")
    return _replace_first(text, r"(?m)^net = .*", f"net = {_layers(description)}")


def _replace_first(text: str, pattern: str, replacement: str) -> str:
    """The text with its first match of a pattern replaced, literally."""
    return re.sub(pattern, lambda _: replacement, text, count=1)


def _layers(description: "DataDescription") -> str:
    """The layers of a network for the described data; large pictures are downsampled."""
    sizes = ", ".join(map(str, description.shape))
    if len(description.shape) == 1:
        return f"input({sizes}) -> dense(32) -> flow(n) -> dense({description.outputs})"
    layers, side = ["conv(3, 32)"], max(description.shape[1:])
    while side > LARGEST_SIDE:
        layers = ["conv(3, 32, stride = 2)", "bn", "relu", *layers]
        side = -(-side // 2)
    last_layers = f"flow(n) -> bn -> relu -> mean -> dense({description.outputs})"
    return " -> ".join([f"input({sizes})", *layers, last_layers])
