"""`odenet convert`: makes a residual network of torchvision or timm reversible."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from odenet.cli.output import say, write
from odenet.counted import counted
from odenet.extras import require


def convert(
    name: Annotated[
        str, typer.Argument(help="A model of torchvision, such as resnet101, or of timm.")
    ],
    scheme: Annotated[
        str, typer.Option(help="The scheme whose steps the blocks become: its name, or FILE.ode.")
    ] = "momentum",
    gamma: Annotated[
        float | None, typer.Option(help="γ of momentum [default: 0.9]; 0 is the original network.")
    ] = None,
    h: Annotated[
        float | None, typer.Option("--h", help="Step size of other schemes [default: 1].")
    ] = None,
    v0: Annotated[
        str | None, typer.Option(help="The initial speed: 0, f (that is, f(x0)) or learned.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Undo every block bit for bit, in fixed point.")
    ] = False,
    weights: Annotated[
        str, typer.Option(help="`default` for the library's, `none`, or a file with a state_dict.")
    ] = "default",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write the converted network.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Predict the memory of a training step on this many pictures, and recommend "
            "a way to save some; without -o nothing is converted.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Height and width of these pictures.")] = 224,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the prediction as JSON, in bytes.")
    ] = False,
) -> None:
    """Make a residual network reversible, with its weights reused unchanged.

    With --batch, first print what that would save compared with checkpointing, if anything.
    """
    require("train", "odenet convert", "torchvision")
    from odenet.conversion.zoo import Conversion, ZooError, build, save

    constants = {name: x for name, x in (("gamma", gamma), ("h", h)) if x is not None}
    if json_ and batch is None:
        raise typer.BadParameter("is about a prediction: give --batch", param_hint="--json")
    initial_speed = 0 if v0 == "0" else v0
    try:
        if batch is not None:
            options = {"scheme": scheme, "v0": initial_speed, "exact": exact, **constants}
            _print_advice(name, batch, size, json_, **options)
            if output is None:
                return
        conversion = Conversion.with_scheme(name, scheme, initial_speed, constants, exact)
        with warnings.catch_warnings(record=True) as caught_warnings:
            warnings.simplefilter("always")
            model = conversion.apply(build(name, None if weights == "none" else weights))
    except (ZooError, ValueError) as error:
        _exit_with_error(str(error))
    for warning in caught_warnings:
        say(f"warning: {warning.message}", err=True)
    say(_summary(model, conversion))
    if output is not None:
        save(model, conversion, output)
        say(f'\nwrote {output}; odenet.conversion.zoo.restore("{output}") builds it again')


def _print_advice(name: str, batch: int, size: int, json_: bool, **options: Any) -> None:
    """Print what `odenet.advise` says, with these options, of a network with random weights."""
    import torch

    from odenet.conversion.examples import image_channels
    from odenet.conversion.zoo import build
    from odenet.footprint.advice import advise

    model = build(name, None)
    pictures = torch.empty(batch, image_channels(model), size, size, device="meta")
    advice = advise(model, pictures, **options)
    advice = replace(advice, network=f"{name}, pictures of {size}x{size}")
    if json_:
        write(advice.to_json())
    else:
        say(advice)


def _exit_with_error(message: str) -> NoReturn:
    say(f"error: {message}", err=True)
    raise typer.Exit(1)


def _summary(model, conversion) -> str:
    """The conversion of a network in words, with a line for each flow."""
    from odenet.runtime import Flow

    flows = {name: flow for name, flow in model.named_modules() if isinstance(flow, Flow)}
    steps = sum(flow.steps for flow in flows.values())
    first_flow = next(iter(flows.values()))
    parameters = sum(p.numel() for p in model.parameters())
    lines = [
        f"{conversion.name}: {steps} blocks are steps of {conversion.scheme_name} now, in "
        f"{counted(len(flows), 'flow')}; {parameters:,} parameters"
    ]
    lines += [f"  {name}: {counted(flow.steps, 'step')}" for name, flow in flows.items()]
    single_steps = [name for name, flow in flows.items() if flow.steps == 1]
    if single_steps:
        lines.append(
            f"{', '.join(single_steps)}: one step holds two states, where a checkpoint holds one"
        )
    if first_flow.reversible:
        lines.append(
            "reversible: flows rebuild their activations; whether that saves anything for a batch, "
            f"`odenet convert {conversion.name} --batch N` predicts"
        )
    else:
        lines.append(f"not reversible: {first_flow.obstacle}")
    return "\n".join(lines)
