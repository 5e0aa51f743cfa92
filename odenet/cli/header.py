"""The first lines of `odenet train`; most are printed before torch, which is slow to import."""

import os
from typing import TYPE_CHECKING

from odenet.cli.output import say
from odenet.counted import counted

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.model.tables.recipe import Call
    from odenet.model.typed.program import Model
    from odenet.training.run_folder.records import Options

# The environment variables in which torchrun, Lightning and Slurm number processes.
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def announce(program: "Program") -> None:
    """Print network, data and claims; only in the first of several processes."""
    if not _is_first_process():
        return
    from odenet.model.typed.network_size import network_size
    from odenet.model.typed.program import flows_of

    model, claims = program.model, program.claims
    depths = [layer.arguments["N"] for layer in flows_of(model.net)]
    steps = f"{counted(sum(depths), 'step')} in {counted(len(depths), 'flow')}"
    library_networks = _library_networks(model)
    say(f"{model.name}: {model.description}" if model.description else model.name)
    given_maps = ", ".join(f"`{model.spellings[m.name]}`" for m in model.given_maps)
    parameters = f"{network_size(model).parameters:,} parameters"
    parameters += f" without {given_maps}" if given_maps else ""
    if program.recipe.data is not None:
        say(f"  data {_data_set(program.recipe.data)}")
    from_library = f"{', '.join(library_networks)} as its library makes it"
    network = from_library if library_networks else f"{steps}; {parameters}"
    say(f"  input {model.input_shape}; {network}")
    say(f"  {program.certificate.summary}")
    if claims:
        say(f"  {'; '.join(f'{claim.name} {claim.verdict}' for claim in claims)}")


def announce_step(program: "Program", options: "Options") -> None:
    """Print the device and how much memory a training step needs; imports torch."""
    if not _is_first_process():
        return
    import torch

    from odenet.cli.memory_options import predict_footprint
    from odenet.footprint.largest_batch import training_mode
    from odenet.footprint.table import size_text
    from odenet.model.typed.program import flows_of

    has_gpu = torch.cuda.is_available()
    cpu = f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    device_name = torch.cuda.get_device_name() if has_gpu else cpu
    hardware = device_name if options.devices == 1 else f"{device_name}; devices: {options.devices}"
    model = program.model
    is_adaptive = program.discretised and model.discretisation.tolerance is not None
    has_given_maps = bool(model.given_maps) and any(flows_of(model.net))
    if is_adaptive or has_given_maps or isinstance(options.memory, int):  # not predictable
        say(f"  {hardware}")
        return
    mode = training_mode(program, options)
    device = "cuda" if has_gpu else "cpu"
    footprint = predict_footprint(program, mode, device, options.update_in_backward)
    if footprint is None:
        say(f"  {hardware}")
        return
    need = f"needs about {size_text(footprint.peak)} ({mode} flows)"
    say(f"  {hardware}; a step on {counted(program.recipe.batch, 'sample')} {need}")
    if library_networks := _library_networks(model):
        say(f"  {', '.join(library_networks)}: {size_text(footprint.parameters)} of weights")


def _library_networks(model: "Model") -> list[str]:
    """The names of networks in layers `existing(…)`; only torchvision or timm knows their sizes."""
    from odenet.model.tables.layers import LAYERS

    pairs = [(layer, LAYERS.get(layer.name)) for layer in model.net]
    return [layer.arguments["name"] for layer, row in pairs if row and row.is_network]


def _data_set(call: "Call") -> str:
    """A data set as a recipe names it, with its size if that is known without reading it."""
    from odenet.model.tables.argument_kinds import show
    from odenet.model.tables.data_sets import DATA_SETS

    contents = DATA_SETS[call.name].contents
    return f"{show(call)}: {contents}" if contents else show(call)


def _is_first_process() -> bool:
    return all(os.environ.get(name, "0") == "0" for name in _RANK_VARIABLES)
