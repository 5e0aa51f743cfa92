"""The table of layers on the page: shapes, parameters, and the memory that flows hold.

A flow is a layer that integrates the equations by a number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from odenet.compiler import Program
from odenet.diagnostics import SpecError
from odenet.footprint.step import held_by_flows
from odenet.footprint.table import available_modes, size_text
from odenet.memory_limit import require_memory
from odenet.model.typed.network_size import layer_parameter_count
from odenet.model.typed.program import flows_of


@dataclass(frozen=True)
class LayerRow:
    """A row of the table.

    Args:
        number: the number of the layer, counted from 0; figures name flows by it.
        text: the layer as it is written in the specification.
        shape: the shape of its output, without the batch.
        steps: the number of steps of its flows; empty for other layers.
        parameters: the number of its parameters, as text; empty if it has none.
        held: the bytes that its flows keep from the forward to the backward pass, as text, one size
            for each mode of the table.
    """

    number: int
    text: str
    shape: str
    steps: str
    parameters: str
    held: Sequence[str]


@dataclass(frozen=True)
class LayerTable:
    """The table of all layers.

    Args:
        input: the shape of a sample.
        rows: one for each layer.
        modes: the memory modes of flows, such as reversible; each has a column of `held`.
        parameters: the number of parameters of the whole network, as text.
        batch: the number of samples that the memory is predicted for.
        note: why no memory is predicted; else empty.
    """

    input: str
    rows: Sequence[LayerRow]
    modes: Sequence[str]
    parameters: str
    batch: int
    note: str = ""


def layer_table(program: Program) -> LayerTable | None:
    """The table of a program's layers; None if the file has no `net`."""
    model = program.model
    if not model.net or model.input_shape is None:
        return None
    held_by_mode, note = _held_by_flows(program)
    rows: list[LayerRow] = []
    counts = [layer_parameter_count(model, layer) for layer in model.net]
    for number, (layer, count) in enumerate(zip(model.net, counts, strict=True)):
        steps = sum(flow.arguments["N"] for flow in flows_of([layer]))
        text = " ".join(layer.span.text.split()) if layer.span else layer.name
        by_mode = held_by_mode.values() if steps else ()
        held = [size_text(_bytes_of_layer(number, by_flow)) for by_flow in by_mode]
        parameters = f"{count:,}" if count else ""
        rows.append(
            LayerRow(number, text, str(layer.shape_out), str(steps or ""), parameters, held)
        )
    total, batch = f"{sum(counts):,}", program.recipe.batch
    return LayerTable(str(model.input_shape), rows, [*held_by_mode], total, batch, note)


def _held_by_flows(program: Program) -> tuple[Mapping[str, Mapping[str, int]], str]:
    """The bytes that each flow holds, by mode and name of its module; and a note if unknown."""
    if not program.discretised:
        return {}, "Without a `discretise` line the network has no steps to predict memory of."
    if program.model.discretisation.tolerance is not None:
        return {}, "What adaptive steps hold depends on how many are taken."
    if program.model.given_maps:
        return {}, "Memory is not predicted: a map of the file is given from Python."
    try:
        require_memory(program, program.recipe.batch)
        modes = available_modes(program, exact=False)[:-1]  # all but checkpoint, the last one
        return {mode: held_by_flows(program, program.recipe.batch, mode) for mode in modes}, ""
    except SpecError as error:
        return {}, f"Memory is not predicted: {error.diagnostics[0].message}."


def _bytes_of_layer(number: int, by_flow: Mapping[str, int]) -> int:
    """The bytes of a layer, from those by flow, whose name begins with the number of its layer."""
    return sum(size for name, size in by_flow.items() if name.partition(".")[0] == str(number))
