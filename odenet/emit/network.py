"""The class of the network around the flows."""

from odenet.emit.constructors import layer_code, width_code
from odenet.emit.expressions import number
from odenet.emit.frame import Frame
from odenet.emit.layout import docstring, lay_out
from odenet.model.tables.layers import Layer
from odenet.model.typed.program import Model, ends_in_classes


def network(model: Model, name: str, flow: str) -> list[str]:
    """The lines of the network's class.

    Args:
        model: a program with a `net`.
        name: of the class.
        flow: the class of its flows.
    """
    frame = Frame(model)
    last = model.net[-1]
    classes = ends_in_classes(model)
    width = str(last.after.channels)
    head = f"{model.input_shape} -> {last.after}"
    lines = [f"class {name}(nn.Sequential):", *docstring([f"{head}."], 4), ""]
    given = [frame.names("spec", definition.name) for definition in model.given]
    takes = [f"classes={width}"] * classes + ["*"] * bool(given) + given
    lines.append(f"    def __init__({', '.join(['self', *takes])}):")
    lines.append("        super().__init__(")
    for layer in model.net:
        code = _code(layer, flow, "".join(f", {name}={name}" for name in given))
        if layer is last and classes:
            code = code.replace(f", {width}", ", classes", 1)
        lines += lay_out(f"{code},", 12)
    return [*lines, "        )"]


def _code(layer: Layer, flow: str, given: str) -> str:
    if layer.name == "flow":
        steps, h = layer.arguments["N"], layer.arguments["h"]
        step_size = f", h={number(h)}" if h else ""
        return f"{flow}({width_code(layer.before.channels)}, steps={steps}{step_size}{given})"
    if layer.name == "residual":
        inner = ", ".join(_code(inside, flow, given) for inside in layer.inner)
        stride = layer.arguments["stride"]
        return f"Residual(nn.Sequential({inner}){f', stride={stride}' if stride != 1 else ''})"
    return layer_code(layer, width_code)
