"""What a generated `__init__` calls: the constructors of parameters and layers."""

from odenet.emit.expressions import number
from odenet.model.layers import LAYERS, Layer
from odenet.model.numbers import Width
from odenet.model.parameters import Learned
from odenet.model.recipe_values import Call


def width_code(width: Width) -> str:
    """A channel count inside `__init__`, where `c` is the states' own."""
    if not width.multiple:
        return number(width.constant)
    if width.multiple.denominator == 1:
        text = "c" if width.multiple == 1 else f"{width.multiple} * c"
    else:
        text = f"{width.multiple.numerator} * c // {width.multiple.denominator}"
    return text if not width.constant else f"{text} + {number(width.constant)}"


def layer_code(layer: Layer, width) -> str:
    """The torch code of one layer."""
    return LAYERS[layer.name].code(layer, width)


def parameter_code(learned: Learned, space: int) -> str:
    """The constructor of a parameter."""
    steps = "1" if learned.shared else "steps"
    reads, gives = (width_code(w) if w else "c" for w in (learned.width_in, learned.width_out))
    options = learned.options
    init = _init_code(options["init"])
    match learned.type:
        case "conv":
            groups = f", groups={options['groups']}" if options["groups"] != 1 else ""
            return f"conv_kernel({steps}, {reads}, {gives}, kernel={options['k']}, space={space}{groups}{init('he')})"
        case "depthwise":
            return f"conv_kernel({steps}, {reads}, {gives}, kernel={options['k']}, space={space}, groups={reads}{init('he')})"
        case "pointwise":
            return f"conv_kernel({steps}, {reads}, {gives}, kernel=1, space={space}{init('he')})"
        case "dense":
            return f"dense_matrix({steps}, {reads}, {gives}{init('he')})"
        case "diag":
            return f"diagonal({steps}, {reads}, space={space}{init('ones')})"
        case "bias":
            return f"bias({steps}, {reads}, space={space}{init('zeros')})"
        case "scalar":
            return f"scalar({steps}{init('ones')})"
    kind = options["kind"]
    groups = f", groups={options['group']}" if kind == "group" else ""
    positive = ", positive=True" if options["positive"] == "positive" else ""
    return f'norm_layers({steps}, "{kind}", {reads}, space={space}{groups}{positive})'


def _init_code(call: Call):
    """The `init` argument where it is not the usual one."""
    value = f'"{call.name}"'
    if call.kwargs:
        (argument,) = call.kwargs.values()
        value = f'("{call.name}", {argument:g})'
    return lambda usual: "" if call.name == usual else f", init={value}"
