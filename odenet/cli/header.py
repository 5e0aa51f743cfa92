"""What `odenet train` says first, most of it before torch is imported, which takes far longer."""

import os
from typing import TYPE_CHECKING

from odenet.cli.output import say

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.model.tables.recipe import Call
    from odenet.model.typed.program import Model
    from odenet.training.run_folder.records import Options

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # as torchrun, Lightning and Slurm number processes


def announce(program: "Program") -> None:
    """Print what is about to be trained, in the first of several processes."""
    if not _first():
        return
    from odenet.model.typed.network_size import network_size
    from odenet.model.typed.program import flows_of

    model, claims = program.model, program.claims
    flows = [layer.arguments["N"] for layer in flows_of(model.net)]
    depth = f"{sum(flows)} steps in {len(flows)} flow{'s' if len(flows) > 1 else ''}"
    names = _of_libraries(model)
    say(f"{model.name}: {model.description}" if model.description else model.name)
    others = ", ".join(f"`{model.spellings[m.name]}`" for m in model.given_maps)
    size = f"{network_size(model).parameters:,} parameters" + (others and f" without {others}")
    if program.recipe.data is not None:
        say(f"  data {_data(program.recipe.data)}")
    inside = f"{', '.join(names)} as its library makes it" if names else f"{depth}; {size}"
    say(f"  input {model.input_shape}; {inside}")
    say(f"  {program.certificate.summary}")
    if claims:
        say(f"  {'; '.join(f'{claim.name} {claim.verdict}' for claim in claims)}")


def announce_step(program: "Program", options: "Options") -> None:
    """Print where it is trained and what a step takes there; torch is imported."""
    if not _first():
        return
    import torch

    from odenet.cli.fitting import footprint_or_refusal
    from odenet.footprint.largest_batch import mode_of
    from odenet.footprint.table import size_text
    from odenet.model.typed.program import flows_of

    cuda = torch.cuda.is_available()
    threads = torch.get_num_threads()
    name = torch.cuda.get_device_name() if cuda else f"CPU, {threads} thread{'s'[: threads > 1]}"
    where = name if options.devices == 1 else f"{name}; devices: {options.devices}"
    model = program.model
    adaptive = program.discretised and model.discretisation.tolerance is not None
    given = bool(model.given_maps) and any(flows_of(model.net))
    if adaptive or given or isinstance(options.memory, int):  # what is held depends on values
        say(f"  {where}")
        return
    mode = mode_of(program, options)
    batch = program.recipe.batch
    device = "cuda" if cuda else "cpu"
    step = footprint_or_refusal(program, mode, device, options.update_in_backward)
    if step is None:
        say(f"  {where}")
        return
    size = f"{size_text(step.peak)} ({mode} flows)"
    say(f"  {where}; a step on {batch} samples needs about {size}")
    if names := _of_libraries(model):
        say(f"  {', '.join(names)}: {size_text(step.parameters)} of weights")


def _of_libraries(model: "Model") -> list[str]:
    """The names of its networks that a library makes, and whose parameters only that counts."""
    from odenet.model.tables.layers import LAYERS

    rows = [(layer, LAYERS.get(layer.name)) for layer in model.net]
    return [layer.arguments["name"] for layer, row in rows if row and row.is_network]


def _data(call: "Call") -> str:
    """A data set, with its size where that is known without reading it."""
    from odenet.model.tables.argument_kinds import show
    from odenet.model.tables.data_sets import DATA_SETS

    holds = DATA_SETS[call.name].contents
    return f"{show(call)}: {holds}" if holds else show(call)


def _first() -> bool:
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
