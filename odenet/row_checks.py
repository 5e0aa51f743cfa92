"""Checks that a row of a table of the language (activation, layer, parameter) is consistent.

A row holds a numerical model, torch code and declared properties, which are compared at sample
points. Proofs rely on the declared properties: a false "nondecreasing" would make a false proof.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from odenet import runtime
from odenet.analyse.dual_numbers import DualArray, independent_variables
from odenet.model.expressions.numbers import STATE_WIDTH, Width, fixed_width
from odenet.model.tables.activations import ActivationKind
from odenet.model.tables.argument_kinds import Call, Number, Subject, Word
from odenet.model.tables.arguments import ChannelCount
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layers import Layer, LayerError, LayerKind, Shape
from odenet.model.tables.parameter_kinds import Construction, ParameterKind
from odenet.model.tables.tensors import Tensors

# Points between -20 and 20, on a grid without the round numbers that kinks are at, and some far out
SAMPLE_POINTS = sorted([*(0.0123 + 0.0971 * k for k in range(-200, 201)), -1e4, -300.0, 300.0, 1e4])
ARGUMENT_CANDIDATES = (2, 1, 3, 4, 0.3, 0.1, -0.5)  # for arguments without default
CONSTANT_CANDIDATES = (0.3, -2, 2.5, -0.5, 1, 10)  # for constants of activations
MAX_CONSTANTS = 4  # values tried for each constant
RELATIVE_STEP = 1e-5  # of difference quotients
TOLERANCE = 1e-6  # of values, relative above 1 and absolute below
CHANNELS = 4
GRID_SHAPES = ((), (5,), (4, 6))  # the inputs tried: a vector, a sequence and an image


class Contradiction(ValueError):
    """A declared property of a row is false, or its torch code and numerical model differ."""


def check_activation(row: ActivationKind) -> None:
    """Compare value, derivative, slope bounds, oddness, sign and torch code of an activation.

    Raises:
        Contradiction: if two of them disagree at a sample.
    """
    for constants in product(*(_sample_constants(kind) for kind in row.constants.values())):
        values = [_finite_value(row, x, constants) for x in SAMPLE_POINTS]
        _check_slopes(row, constants, values)
        if row.nonnegative and min(values) < 0:
            raise _contradiction(row, "is negative at some point", constants)
        if row.odd:
            for x, value in zip(SAMPLE_POINTS, values, strict=True):
                if not _is_close(_finite_value(row, -x, constants), -value):
                    raise _contradiction(row, f"is not odd at {x:g}", constants)
        _check_torch(row, constants, values)


def _finite_value(row: ActivationKind, x: float, constants: tuple) -> float:
    try:
        value = float(row.value(x, *constants))
    except ArithmeticError:
        value = float("nan")
    if not isfinite(value):
        raise _contradiction(row, f"has no finite value at {x:g}", constants)
    return value


def _check_slopes(row: ActivationKind, constants: tuple, values: list[float]) -> None:
    """Check that slopes, also of secants, are within the bounds, and equal φ' away from kinks.

    At a kink the slopes to the left and right differ.
    """
    upper, lower = float(row.slope(*constants)), float(row.least_slope(*constants))
    for i, (x, here) in enumerate(zip(SAMPLE_POINTS, values, strict=True)):
        step = RELATIVE_STEP * (1 + abs(x))
        before, after = (_finite_value(row, x + s, constants) for s in (-step, step))
        right, left = (after - here) / step, (here - before) / step
        measured, declared = (right + left) / 2, row.derivative(x, *constants)
        if abs(right - left) < 1e-3 and abs(declared - measured) > 1e-3:
            text = f"has the slope {measured:.4g} at {x:g}, not {declared:.4g}"
            raise _contradiction(row, text, constants)
        secants = [(here - values[i - 1]) / (x - SAMPLE_POINTS[i - 1])] if i else []
        slopes = [right, left, declared, *secants]
        rounding = TOLERANCE * (1 + abs(here))
        if max(map(abs, slopes)) > upper + rounding or min(slopes) < lower - rounding:
            text = f"has slopes between {min(slopes):.4g} and {max(slopes):.4g} near {x:g}, "
            raise _contradiction(row, f"{text}and bounds {lower:g} and {upper:g}", constants)


def _check_torch(row: ActivationKind, constants: tuple, values: list[float]) -> None:
    """Check that the torch code and the primitive's derivative have these values at the samples."""
    x = torch.tensor(SAMPLE_POINTS, dtype=torch.float64, requires_grad=True)
    namespace = _namespace(row.imports)
    torch_values = {
        "code": eval(row.code.format(*constants, x="x"), namespace, {"x": x}),
        "module": eval(row.module.format(*constants), namespace)(x),
    }
    if row.primitive:
        total = eval(row.primitive.format(*constants, x="x"), namespace, {"x": x}).sum()
        (torch_values["derivative of the primitive"],) = torch.autograd.grad(total, x)
    for part, tensor in torch_values.items():
        for point, torch_value, value in zip(SAMPLE_POINTS, tensor.tolist(), values, strict=True):
            if not _is_close(torch_value, value):
                text = f"is {value:.6g} at {point:g}, and its {part} gives {torch_value:.6g}"
                raise _contradiction(row, text, constants)


def _is_close(x: float, reference: float) -> bool:
    return abs(x - reference) <= TOLERANCE * (1 + abs(reference))


def _contradiction(row: Any, text: str, constants: tuple = ()) -> Contradiction:
    shown = f"({', '.join(f'{c:g}' for c in constants)})" if constants else ""
    return Contradiction(f"{row.name}{shown} {text}")


# --- layers --------------------------------------------------------------------------------------


def check_layer(row: LayerKind) -> None:
    """Compare the shape, tensors and numerical model of a layer with its torch module.

    Raises:
        Contradiction: if two of them disagree on a random feature map, or the layer accepts none.
    """
    arguments = _arguments(row.arguments)
    tested_count = 0
    for space in GRID_SHAPES:
        takes_tokens = row.reads_token_ids and len(space) == 1
        shape = Shape(fixed_width(CHANNELS), space, CHANNELS, takes_tokens)
        with suppress(LayerError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about even kernels
            out, groups = row.shape(arguments, shape), row.groups(arguments)
            layer = Layer(
                name=row.name, arguments=arguments, shape_in=shape, shape_out=out, groups=groups
            )
            _check_layer_on_grid(row, layer)
            tested_count += 1
    if not tested_count:
        raise _contradiction(row, f"fits no field of {CHANNELS} channels")


@torch.random.fork_rng(devices=[])
def _check_layer_on_grid(row: LayerKind, layer: Layer) -> None:
    """Compare a layer with its torch module on a random input of its shape."""
    torch.manual_seed(0)
    c_in, c_out = int(layer.shape_in.channels.constant), int(layer.shape_out.channels.constant)
    space = layer.shape_in.space
    code = row.code(layer, _width_source)
    module: nn.Module = eval(code, _namespace(row.imports)).double().eval()
    weights = _randomise(module)
    x = torch.randn(1, c_in, *space, dtype=torch.float64)
    if row.reads_token_ids:
        x = torch.randint(c_in, (1, *space))
    output = module(x)[0]
    if tuple(output.shape) != (c_out, *layer.shape_out.space):
        text = f"gives the shape {tuple(output.shape)}, and its row {layer.shape_out}"
        raise _contradiction(row, text)
    if row.numeric is None:
        return
    _check_tensors(row, row.tensors(layer, c_in, c_out, len(space)), weights)
    value = x[0].numpy().reshape(c_in, -1)
    variable = DualArray(value, independent_variables(value.shape).derivative)
    numeric = row.numeric(layer, weights, variable, space)
    if not np.allclose(numeric.value.reshape(-1), output.detach().numpy().reshape(-1)):
        raise _contradiction(row, f"and its numeric model differ on {len(space)} axes")
    jacobian = torch.autograd.functional.jacobian(lambda t: module(t)[0], x).numpy()
    if not np.allclose(numeric.derivative.reshape(-1), jacobian.reshape(-1), atol=1e-7):
        text = f"and the derivative of its numeric model differ on {len(space)} axes"
        raise _contradiction(row, text)


def _randomise(module: nn.Module) -> Mapping[str, np.ndarray]:
    """Set all tensors of a module to random values, and return these."""
    weights = {}
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            variance = "var" in name  # has to be above 0
            tensor.copy_(torch.rand_like(tensor) + 0.5 if variance else torch.randn_like(tensor))
            weights[name] = tensor.numpy().copy()
    return weights


def _check_tensors(row: Any, declared: Tensors, actual: Mapping[str, np.ndarray]) -> None:
    """Check that a torch module has the tensors that its row declares, by name and shape."""
    shapes = {name: tensor.shape for name, tensor in declared.items()}
    if shapes != {name: tensor.shape for name, tensor in actual.items()}:
        listing = ", ".join(f"{name} {tensor.shape}" for name, tensor in actual.items())
        raise _contradiction(row, f"has the tensors {listing or 'none'}, and its row says {shapes}")


# --- parameters ----------------------------------------------------------------------------------


@torch.random.fork_rng(devices=[])
def check_parameter(row: ParameterKind) -> None:
    """Compare the torch code of an operator with its adjoint, tensor and numerical model.

    Raises:
        Contradiction: if two of them disagree on a random feature map.
    """
    if row.role == "norm":
        raise _contradiction(row, "is a norm, and kinds of norm cannot be added")
    torch.manual_seed(0)
    options = _arguments(row.arguments)
    for space in GRID_SHAPES[1:] if row.needs_image else GRID_SHAPES:
        channels, axes = str(CHANNELS), len(space)
        pieces = Construction("2", channels, channels, axes, init=lambda rule: "")  # of two steps
        code = row.construct(options, pieces)
        stack: Tensor = eval(code, _namespace(row.imports)).detach().double()
        stack.copy_(torch.randn_like(stack))
        tensors = row.tensors(options, CHANNELS, CHANNELS, axes)
        _check_tensors(row, tensors, {"": stack[0].numpy()})  # its one tensor has no name
        if row.operator is not None:
            _check_operator(row, options, stack[0], space)


def _check_operator(
    row: ParameterKind, options: Mapping[str, Any], K: Tensor, space: tuple[int, ...]
) -> None:
    """Check an operator with the tensor K on a grid: its matrix, adjoint and norm bound."""
    operator = row.operator
    assert operator is not None
    namespace = _namespace(row.imports)
    keywords = operator.keywords(options, len(K) if K.ndim else 1)
    x = torch.randn(1, CHANNELS, *space, dtype=torch.float64)
    variables = independent_variables((CHANNELS, x[0, 0].numel()))
    matrix = operator.numeric(options, K.numpy(), variables, space).derivative
    matrix = matrix.reshape(-1, x.numel())
    image = namespace[operator.function](x, K, **keywords).reshape(-1).numpy()
    adjoint_image = namespace[operator.adjoint](x, K, **keywords).reshape(-1).numpy()
    if not np.allclose(matrix @ x.reshape(-1).numpy(), image):
        raise _contradiction(row, f"and its numeric model differ on {len(space)} axes")
    if not np.allclose(matrix.T @ x.reshape(-1).numpy(), adjoint_image):
        raise _contradiction(row, f"and its adjoint do not fit together on {len(space)} axes")
    diagonal = np.diag(np.repeat(K.numpy().reshape(-1), x[0, 0].numel()))
    if operator.diagonal and not (diagonal.shape == matrix.shape and np.allclose(diagonal, matrix)):
        raise _contradiction(row, "is not one factor per channel, the values of its tensor")
    if operator.kernel and operator.function not in ("conv", "dense"):
        raise _contradiction(row, "declares a kernel, and only conv and dense take sums of kernels")
    # `self.norm` is a power iteration, which gives an estimate and no bound.
    if operator.norm_bound and "self.norm" not in operator.norm_bound:
        code = operator.norm_bound.format(K="K", label="K", keywords="")
        bound = float(eval(code, namespace, {"K": K}))
        if bound < np.linalg.norm(matrix, 2) * (1 - TOLERANCE):
            raise _contradiction(row, f"has a larger norm than its bound {bound:.4g}")


# --- arguments and names for the code of rows ----------------------------------------------------


def _namespace(imports: tuple[str, ...]) -> dict[str, Any]:
    """The names that generated code can use, with the imports of a row."""
    namespace = {**vars(runtime), "torch": torch, "nn": nn, "functional": functional}
    for line in imports:
        exec(line, namespace)
    return namespace


def _sample_constants(kind: Number) -> list[float]:
    """A few numbers that are allowed for a constant."""
    ends = [end for end in (kind.low, kind.high) if end is not None and isfinite(end)]
    candidates = [*CONSTANT_CANDIDATES, sum(ends) / max(len(ends), 1), *ends]
    return list(_accepted_values(kind, candidates))[:MAX_CONSTANTS]


def _accepted_values(kind: Any, candidates: list[Any]) -> Iterator[Any]:
    """The candidates that a kind of argument accepts, as it converts them."""
    for candidate in candidates:
        problems: list[Any] = []
        subject = Subject(name="", meaning="", span=None, report=problems.append)
        value = kind.check(candidate, subject)
        if value is not None and not problems:
            yield value


def _arguments(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """A value for each parameter: its default, else the first candidate that it accepts."""
    return {name: _argument(name, parameter) for name, parameter in parameters.items()}


def _argument(name: str, parameter: Parameter) -> Any:
    if isinstance(parameter.default, Width) and parameter.default == STATE_WIDTH:
        return fixed_width(CHANNELS)
    if parameter.default is not None:
        return parameter.default
    kind = parameter.kind
    words: tuple[str, ...] = kind.options if isinstance(kind, Word) else ()
    width = [fixed_width(CHANNELS)] if isinstance(kind, ChannelCount) else []
    # the last two are a list of texts, and a text
    candidates = [*width, *(Call(word) for word in words), *ARGUMENT_CANDIDATES, ("x",), "x"]
    value = next(_accepted_values(kind, candidates), None)
    if value is None:
        raise Contradiction(f"no value was found to try `{name}` with: give it a default")
    return value


def _width_source(width: Width) -> str:
    return str(int(width.constant))
