"""`odenet new`: a spec to begin with."""

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from odenet.cli.output import say
from odenet.diagnostics import typed
from odenet.extras import require
from odenet.files import write_text

if TYPE_CHECKING:
    from odenet.training.data.data_description import DataDescription


LARGEST_SIDE = 32  # of what a flow works on


# The templates, each a spec of the folder `odenet/templates`.
Like = Literal["hamiltonian", "damped", "momentum", "language_model"]


def new(
    name: Annotated[str, typer.Argument(help="Of the spec; NAME.ode is written.")],
    like: Annotated[Like | None, typer.Option(help="What kind of dynamics.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder with one folder of pictures per class, an .npz file, a .csv table or a "
            "text: sizes and classes are read from it."
        ),
    ] = None,
) -> None:
    """Write a spec that trains, with comments, to begin with.

    Without --data it trains on what ships with a library. An existing file is never replaced.
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
    found = None if data is None else _look(data, target.parent)
    reads_text = found is not None and not found.shape
    like = like or ("language_model" if reads_text else "hamiltonian")
    if found is not None and reads_text != (like == "language_model"):
        what = "reads text" if like == "language_model" else "reads pictures and numbers"
        message = f"--like {like} {what}, and {data} is other data"
        raise SpecError.of("data-misfit", message, help="leave --like out")
    text = (files("odenet") / "templates" / f"{like}.ode").read_text(encoding="utf-8")
    text = text if found is None else fitted(text, found)
    write_text(target, format_source(Source(str(target), text)))
    path = typed(target)
    say(f"wrote {target}; next:\n")
    say(f"  odenet compile {path}           what is derived and proved of it")
    say(f"  odenet train {path} --epochs 1  whether it learns")
    say(f"  odenet train {path}             the whole training")


def _look(data: Path, folder: Path) -> "DataDescription":
    require("train", "odenet new --data")
    from odenet.training.data.data_description import describe_data

    return describe_data(data, folder)


def fitted(text: str, found: "DataDescription") -> str:
    """A template with the data, the sizes and the outputs of other data than its own."""
    text = _replaced(text, r"(?<=    data      = ).*", found.data)
    if not found.shape:
        return text
    if len(found.shape) == 1:
        text = text.replace(": conv(3)", ": dense")
    if not found.classes:
        text = _replaced(text, r"(?=    batch)", "    loss = mse\n")
        text = text.replace("scores of its classes", "numbers to predict")
    return _replaced(text, r"(?m)^net = .*", f"net = {_layers(found)}")


def _replaced(text: str, pattern: str, by: str) -> str:
    return re.sub(pattern, lambda _: by, text, count=1)


def _layers(found: "DataDescription") -> str:
    """The layers for samples of a shape; large maps are made smaller before the flow."""
    sizes = ", ".join(map(str, found.shape))
    if len(found.shape) == 1:
        return f"input({sizes}) -> dense(32) -> flow(n) -> dense({found.outputs})"
    layers, side = ["conv(3, 32)"], max(found.shape[1:])
    while side > LARGEST_SIDE:
        layers = ["conv(3, 32, stride = 2)", "bn", "relu", *layers]
        side = -(-side // 2)
    end = f"flow(n) -> bn -> relu -> mean -> dense({found.outputs})"
    return " -> ".join([f"input({sizes})", *layers, end])
