"""The arguments of layers with a structure of their own: flow, unit, residual, keep, join, tokens.

A `unit` is a flow whose first step changes the shape; `keep` and `join` are a skip connection.
odenet/model/reading/pipelines.py builds these layers, and `input`.
"""

from collections.abc import Mapping

from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.argument_kinds import Call, Number, Text, Word
from odenet.model.tables.arguments import COUNT, YES_NO, ChannelCount
from odenet.model.tables.choices import Choice, MappedTables, Parameter
from odenet.model.tables.layers import LAYERS, LayerKind

# 0, the default, is for the step size of the `discretise` line.
_STEP_SIZE = Parameter(Number(0, open_low=True, double=True), "is its step size", 0.0)
_SHORTCUT = Parameter(
    Word(("stride", "pool", "conv")), "says how the input is brought to the new shape", "stride"
)
_ONE_STEP = (
    "one step that changes the shape is written as layers: `residual(conv(3, C, stride = 2) -> bn "
    "-> relu)`, or `flow(1) -> pool(2) -> widen(C)`"
)

_FROM_2 = Number(2, whole=True, help_if_too_small=_ONE_STEP)

STRUCTURAL: dict[str, Mapping[str, Parameter]] = {
    "flow": {"N": Parameter(COUNT, "counts its steps"), "h": _STEP_SIZE},
    "unit": {
        "N": Parameter(_FROM_2, "counts its steps, the first one included"),
        "C": Parameter(ChannelCount(), "counts the channels it gives"),
        "stride": Parameter(COUNT, "is by how much its first step coarsens the map", 1),
        "shortcut": _SHORTCUT,
        "h": _STEP_SIZE,
    },
    "keep": {"name": Parameter(Text(), "is what a `join` calls it by")},
    "join": {
        "name": Parameter(Text(), "is that of a `keep` before it"),
        "add": Parameter(YES_NO, "says whether it is added, not put beside", "no", by_name=True),
    },
}


def _parameters(row: LayerKind | Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    return row.arguments if isinstance(row, LayerKind) else row


ALL_LAYERS = Choice("layer", MappedTables(_parameters, LAYERS, STRUCTURAL))

# The arguments of `residual` other than its layers.
RESIDUAL = Choice(
    "layer",
    {
        "residual": {
            "shortcut": _SHORTCUT,
            "after": Parameter(
                Choice("activation", MappedTables(lambda row: row.arguments, ACTIVATIONS)),
                "is applied to the sum",
                Call("identity"),
            ),
        }
    },
)

# What a net of tokens begins with, in place of `input`.
TOKENS = Choice(
    "layer",
    {
        "tokens": {
            "T": Parameter(COUNT, "counts the tokens of a sample"),
            "vocabulary": Parameter(Number(2, whole=True), "counts the different tokens", 256),
        }
    },
)
INPUTS = ("input", *TOKENS.forms)  # the layers that a net begins with
