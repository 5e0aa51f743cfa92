"""Whether a language model can generate text with a cache, passing only new tokens through it."""

from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model, walk_layers


def token_by_token_obstacle(model: Model) -> str:
    """Why a network cannot be evaluated token by token; empty if it can.

    A layer that reads several tokens, such as causal attention, has to read only earlier tokens
    and to cache what it needs of them.
    """
    if model.discretisation.tolerance is not None:
        return "its steps are solved to a tolerance, over all tokens at once"
    for parameter in model.parameters.values():
        if _reads_several_tokens(parameter):
            return f"`{parameter.name}` reads several tokens"
    for definition in model.given_maps:
        return f"nothing is known of `{definition.name}`, which is given from Python"
    maps = [layer for definition in model.maps.values() for layer in definition.layers]
    for layer in walk_layers([*model.net, *maps]):
        if layer.shape_in.space != layer.shape_out.space:
            return f"{layer.name} changes how many tokens there are"
        if layer.name in LAYERS and not _is_token_by_token(layer):
            return f"{layer.name} reads several tokens"
    return ""


def _is_token_by_token(layer: Layer) -> bool:
    row = LAYERS[layer.name]
    is_pointwise = layer.arguments.get("k") == 1  # a convolution that mixes only channels
    return not row.mixes_places or is_pointwise or row.incremental(layer.arguments)


def _reads_several_tokens(parameter: DeclaredParameter) -> bool:
    if parameter.is_module:  # a normalisation
        return not NORMS[parameter.options["kind"]].pointwise
    return parameter.kind.mixes_places and parameter.options.get("k") != 1
