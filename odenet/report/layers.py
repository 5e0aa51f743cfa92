"""The network as a table: each layer with its shape, its parameters, and what its flow holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odenet.compiler import Program
from odenet.diagnostics import SpecError
from odenet.footprint.step import held_by_flows
from odenet.footprint.table import modes_of, size_text
from odenet.memory_limit import require_memory
from odenet.model.typed.network_size import layer_parameters
from odenet.model.typed.program import flows_of


@dataclass(frozen=True)
class LayerRow:
    """A layer.

    Args:
        number: that figures call it by.
        text: as it is written.
        shape: of what it gives, without the samples.
        steps: of its flows; empty for other layers.
        parameters: learned numbers, as text; empty for none.
        held: by memory mode, what its flows hold between forward and backward, as text.
    """

    number: int
    text: str
    shape: str
    steps: str
    parameters: str
    held: Sequence[str]


@dataclass(frozen=True)
class Network:
    """The table.

    Args:
        input: the shape of a sample.
        rows: a layer each.
        modes: the memory modes that the columns of `held` are about.
        parameters: in all.
        batch: samples of a step, which memory is predicted for.
        note: why no memory is given; else empty.
    """

    input: str
    rows: Sequence[LayerRow]
    modes: Sequence[str]
    parameters: str
    batch: int
    note: str = ""


def network_of(program: Program) -> Network | None:
    """The network of a program; None where the file has no `net`."""
    model = program.model
    if not model.net or model.input_shape is None:
        return None
    held, note = _held(program)
    rows: list[LayerRow] = []
    counts = [layer_parameters(model, layer) for layer in model.net]
    for number, (layer, count) in enumerate(zip(model.net, counts, strict=True)):
        steps = sum(flow.arguments["N"] for flow in flows_of([layer]))
        sizes = [_of_layer(number, flows) for flows in held.values()] if steps else []
        text = " ".join(layer.span.text.split()) if layer.span else layer.name
        shown = [size_text(size) for size in sizes]
        learned = f"{count:,}" if count else ""
        rows.append(LayerRow(number, text, str(layer.shape_out), str(steps or ""), learned, shown))
    batch = program.recipe.batch
    return Network(str(model.input_shape), rows, [*held], f"{sum(counts):,}", batch, note)


def _held(program: Program) -> tuple[Mapping[str, Mapping[str, int]], str]:
    """What each flow holds, by mode and by the name of its module; and why it is not known."""
    if not program.discretised:
        return {}, "Without a `discretise` line the network has no steps to predict memory of."
    if program.model.discretisation.tolerance is not None:
        return {}, "What adaptive steps hold depends on how many are taken."
    if program.model.given_maps:
        return {}, "Memory is not predicted: a map of the file is given from Python."
    try:
        require_memory(program, program.recipe.batch)
        modes = modes_of(program, exact=False)[:-1]  # checkpoint holds one state per step
        return {m: held_by_flows(program, program.recipe.batch, m) for m in modes}, ""
    except SpecError as error:
        return {}, f"Memory is not predicted: {error.diagnostics[0].message}."


def _of_layer(number: int, flows: Mapping[str, int]) -> int:
    """The bytes of the flows inside one layer of the `net`; modules are named by its number."""
    return sum(size for name, size in flows.items() if name.partition(".")[0] == str(number))
