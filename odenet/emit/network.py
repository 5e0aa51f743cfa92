"""The class of the network around the flows."""

from odenet.emit.constructors import layer_code, width_code
from odenet.emit.expressions import number
from odenet.emit.layout import docstring, lay_out
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.typed.program import Model, ends_in_classes


def network(model: Model, name: str, flow: str) -> list[str]:
    """The lines of the network's class.

    Args:
        model: a program with a `net`.
        name: of the class.
        flow: the class of its flows.
    """
    last = model.net[-1]
    classes = ends_in_classes(model)
    width = str(last.after.channels)
    head = f"{model.input_shape} -> {last.after}"
    lines = [f"class {name}(nn.Sequential):", *docstring([f"{head}."], 4), ""]
    lines.append(f"    def __init__(self{f', classes={width}' if classes else ''}):")
    tied = last.name in LAYERS and LAYERS[last.name].tied(last.arguments)
    if tied:  # the head has no weights but those of this layer
        lines += lay_out(f"embed = {_code(model.net[0], flow)}", 8)
    lines.append("        super().__init__(")
    for layer in model.net:
        code = "embed" if tied and layer is model.net[0] else _code(layer, flow)
        if layer is last and classes:
            code = code.replace(f", {width}", ", classes", 1)
        lines += lay_out(f"{code},", 12)
    return [*lines, "        )"]


def _code(layer: Layer, flow: str) -> str:
    if layer.name == "flow":
        steps, h = layer.arguments["N"], layer.arguments["h"]
        step_size = f", h={number(h)}" if h else ""
        return f"{flow}({width_code(layer.before.channels)}, steps={steps}{step_size})"
    if layer.name == "residual":
        inner = ", ".join(_code(inside, flow) for inside in layer.inner)
        stride = layer.arguments["stride"]
        return f"Residual(nn.Sequential({inner}){f', stride={stride}' if stride != 1 else ''})"
    return layer_code(layer, width_code)
