"""Whether a language model can go on token by token, with what it keeps of those before."""

from odenet.model.tables.declared import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model, inside


def token_by_token_obstacle(model: Model) -> str:
    """Why what a net gives for a token depends on later ones, or may; empty if it does not."""
    if model.discretisation.tolerance is not None:
        return "its steps are solved to a tolerance, over all tokens at once"
    for learned in model.parameters.values():
        if _reads_several_tokens(learned):
            return f"`{learned.name}` reads several tokens"
    for definition in model.given:
        return f"nothing is known of `{definition.name}`, which is given from Python"
    maps = [layer for definition in model.maps.values() for layer in definition.layers]
    for layer in inside([*model.net, *maps]):
        if layer.before.space != layer.after.space:
            return f"{layer.name} changes how many tokens there are"
        if layer.name in LAYERS and not _layer_works_token_by_token(layer):
            return f"{layer.name} reads several tokens"
    return ""


def _layer_works_token_by_token(layer: Layer) -> bool:
    row = LAYERS[layer.name]
    one_point = layer.arguments.get("k") == 1  # a convolution that mixes channels alone
    return not row.mixes_places or one_point or row.remembers(layer.arguments)


def _reads_several_tokens(learned: DeclaredParameter) -> bool:
    if learned.is_module:
        return not NORMS[learned.options["kind"]].pointwise
    return learned.kind.mixes_places and learned.options.get("k") != 1
