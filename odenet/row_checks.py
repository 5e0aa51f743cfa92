"""Does a row contradict itself? Its numbers, its torch code and what it promises, compared.

A false "nondecreasing" would make a false proof. Samples find mistakes, and prove nothing.
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
from odenet.analyse.dual_numbers import Jet, unknown
from odenet.model.expressions.numbers import C, Width, fixed
from odenet.model.tables.activations import ActivationKind
from odenet.model.tables.argument_kinds import Call, Number, Subject, Word
from odenet.model.tables.arguments import ChannelCount
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layers import Layer, LayerError, LayerKind, Shape
from odenet.model.tables.parameter_kinds import Construction, ParameterKind
from odenet.model.tables.tensors import Tensors

POINTS = sorted([*(0.0123 + 0.0971 * k for k in range(-200, 201)), *(-1e4, -300.0, 300.0, 1e4)])
NUMBERS = (2, 1, 3, 4, 0.3, 0.1, -0.5)  # what arguments are tried with
CONSTANTS = (0.3, -2, 2.5, -0.5, 1, 10)  # what constants of activations are tried with
FEW = 4
STEP = 1e-5
LOOSE = 1e-6
CHANNELS = 4
SPACES = ((), (5,), (4, 6))


class Contradiction(ValueError):
    """A row says what its own code refutes."""


def check_activation(row: ActivationKind) -> None:
    """Compare value, derivative, bounds, oddness, sign and torch code.

    Raises:
        Contradiction: if two of them disagree at a sample.
    """
    for constants in product(*(_some(kind) for kind in row.constants.values())):
        values = [_value(row, x, constants) for x in POINTS]
        _check_slopes(row, constants, values)
        if row.nonnegative and min(values) < 0:
            raise _no(row, "is not never negative", constants)
        if row.odd:
            for x, value in zip(POINTS, values, strict=True):
                if not _close(_value(row, -x, constants), -value):
                    raise _no(row, f"is not odd at {x:g}", constants)
        _check_torch(row, constants, values)


def _value(row: ActivationKind, x: float, constants: tuple) -> float:
    try:
        value = float(row.value(x, *constants))
    except ArithmeticError:
        value = float("nan")
    if not isfinite(value):
        raise _no(row, f"has no finite value at {x:g}", constants)
    return value


def _check_slopes(row: ActivationKind, constants: tuple, values: list[float]) -> None:
    """All slopes, of secants too, lie within the bounds; away from corners they are φ'."""
    most, least = float(row.slope(*constants)), float(row.least_slope(*constants))
    for i, x in enumerate(POINTS):
        step = STEP * (1 + abs(x))
        here, before, after = values[i], *(_value(row, x + s, constants) for s in (-step, step))
        slopes = [(after - here) / step, (here - before) / step, row.derivative(x, *constants)]
        if abs(slopes[0] - slopes[1]) < 1e-3 and abs(slopes[2] - sum(slopes[:2]) / 2) > 1e-3:
            text = f"has the slope {sum(slopes[:2]) / 2:.4g} at {x:g}, not {slopes[2]:.4g}"
            raise _no(row, text, constants)
        if i:
            slopes.append((here - values[i - 1]) / (x - POINTS[i - 1]))
        rounding = LOOSE * (1 + abs(here))
        if max(map(abs, slopes)) > most + rounding or min(slopes) < least - rounding:
            text = f"has slopes between {min(slopes):.4g} and {max(slopes):.4g} near {x:g}, "
            raise _no(row, f"{text}and bounds {least:g} and {most:g}", constants)


def _check_torch(row: ActivationKind, constants: tuple, values: list[float]) -> None:
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    names = _names(row.imports)
    found = {
        "code": eval(row.code.format(*constants, x="x"), names, {"x": x}),
        "module": eval(row.module.format(*constants), names)(x),
    }
    if row.primitive:
        total = eval(row.primitive.format(*constants, x="x"), names, {"x": x}).sum()
        (found["derivative of the primitive"],) = torch.autograd.grad(total, x)
    for what, tensor in found.items():
        pairs = zip(POINTS, tensor.tolist(), values, strict=True)
        for point, one, other in pairs:
            if not _close(one, other):
                text = f"is {other:.6g} at {point:g}, and its {what} gives {one:.6g}"
                raise _no(row, text, constants)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= LOOSE * (1 + abs(other))


def _no(row: Any, text: str, constants: tuple = ()) -> Contradiction:
    shown = f"({', '.join(f'{c:g}' for c in constants)})" if constants else ""
    return Contradiction(f"{row.name}{shown} {text}")


# --- layers --------------------------------------------------------------------------------------


def check_layer(row: LayerKind) -> None:
    """Compare the shape, the tensors and the numeric model with the torch module.

    Raises:
        Contradiction: if two of them disagree on a random field, or the layer fits none.
    """
    arguments = _arguments(row.arguments)
    fitting = 0
    for space in SPACES:
        before = Shape(fixed(CHANNELS), space, CHANNELS, row.reads_token_ids and len(space) == 1)
        with suppress(LayerError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch on even kernels
            after = row.shape(arguments, before)
            layer = Layer(
                name=row.name,
                arguments=arguments,
                shape_in=before,
                shape_out=after,
                groups=row.groups(arguments),
            )
            _check_layer_on(row, layer)
            fitting += 1
    if not fitting:
        raise _no(row, f"fits no field of {CHANNELS} channels")


@torch.random.fork_rng(devices=[])
def _check_layer_on(row: LayerKind, layer: Layer) -> None:
    torch.manual_seed(0)
    before, after = int(layer.shape_in.channels.constant), int(layer.shape_out.channels.constant)
    space = layer.shape_in.space
    module: nn.Module = eval(row.code(layer, _count), _names(row.imports)).double().eval()
    weights = _randomised(module)
    x = torch.randn(1, before, *space, dtype=torch.float64)
    if row.reads_token_ids:
        x = torch.randint(before, (1, *space))
    made = module(x)[0]
    if tuple(made.shape) != (after, *layer.shape_out.space):
        raise _no(row, f"gives the shape {tuple(made.shape)}, and its row {layer.shape_out}")
    if row.numeric is None:
        return
    _check_tensors(row, row.tensors(layer, before, after, len(space)), weights)
    value = x[0].numpy().reshape(before, -1)
    field = Jet(value, unknown(value.shape).slope)
    found = row.numeric(layer, weights, field, space)
    if not np.allclose(found.value.reshape(-1), made.detach().numpy().reshape(-1)):
        raise _no(row, f"and its numeric model differ on {len(space)} axes")
    slope = torch.autograd.functional.jacobian(lambda t: module(t)[0], x).numpy()
    if not np.allclose(found.slope.reshape(-1), slope.reshape(-1), atol=1e-7):
        raise _no(row, f"and the derivative of its numeric model differ on {len(space)} axes")


def _randomised(module: nn.Module) -> Mapping[str, np.ndarray]:
    """Random values for every tensor of a module, and these values."""
    found = {}
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            variance = "var" in name  # above 0
            tensor.copy_(torch.rand_like(tensor) + 0.5 if variance else torch.randn_like(tensor))
            found[name] = tensor.numpy().copy()
    return found


def _check_tensors(row: Any, said: Tensors, found: Mapping[str, np.ndarray]) -> None:
    shapes = {name: tensor.shape for name, tensor in said.items()}
    if shapes != {name: tensor.shape for name, tensor in found.items()}:
        have = ", ".join(f"{name} {tensor.shape}" for name, tensor in found.items())
        raise _no(row, f"has the tensors {have or 'none'}, and its row says {shapes}")


# --- parameters ----------------------------------------------------------------------------------


@torch.random.fork_rng(devices=[])
def check_parameter(row: ParameterKind) -> None:
    """Compare an operator's torch code with its adjoint, its tensor and its numeric model.

    Raises:
        Contradiction: if two of them disagree on a random field.
    """
    if row.role == "norm":
        raise _no(row, "is a norm, and kinds of norm cannot be added")
    torch.manual_seed(0)
    options = _arguments(row.arguments)
    for space in SPACES if not row.needs_image else SPACES[1:]:
        make = Construction("2", str(CHANNELS), str(CHANNELS), len(space), lambda usual: "")
        stack: Tensor = eval(row.construct(options, make), _names(row.imports)).detach().double()
        stack.copy_(torch.randn_like(stack))
        tensors = row.tensors(options, CHANNELS, CHANNELS, len(space))
        _check_tensors(row, tensors, {"": stack[0].numpy()})
        if row.operator is not None:
            _check_operator(row, options, stack[0], space)


def _check_operator(
    row: ParameterKind, options: Mapping[str, Any], K: Tensor, space: tuple[int, ...]
) -> None:
    operator = row.operator
    assert operator is not None
    names = _names(row.imports)
    keywords = operator.keywords(options, len(K) if K.ndim else 1)
    x = torch.randn(1, CHANNELS, *space, dtype=torch.float64)
    field = unknown((CHANNELS, x[0, 0].numel()))
    matrix = operator.numeric(options, K.numpy(), field, space).slope
    matrix = matrix.reshape(-1, x.numel())
    made = names[operator.function](x, K, **keywords).reshape(-1).numpy()
    back = names[operator.adjoint](x, K, **keywords).reshape(-1).numpy()
    if not np.allclose(matrix @ x.reshape(-1).numpy(), made):
        raise _no(row, f"and its numeric model differ on {len(space)} axes")
    if not np.allclose(matrix.T @ x.reshape(-1).numpy(), back):
        raise _no(row, f"and its adjoint do not fit together on {len(space)} axes")
    factors = np.diag(np.repeat(K.numpy().reshape(-1), x[0, 0].numel()))
    if operator.diagonal and not (factors.shape == matrix.shape and np.allclose(factors, matrix)):
        raise _no(row, "is not one factor per channel, the values of its tensor")
    if operator.kernel and operator.function not in ("conv", "dense"):
        raise _no(row, "is not a kernel: sums of kernels are what conv or dense takes")
    if (
        operator.norm_bound and "self.norm" not in operator.norm_bound
    ):  # that one iterates, step by step
        code = operator.norm_bound.format(K="K", label="K", keywords="")
        bound = float(eval(code, names, {"K": K}))
        if bound < np.linalg.norm(matrix, 2) * (1 - LOOSE):
            raise _no(row, f"has a larger norm than its bound {bound:.4g}")


# --- what rows are tried with --------------------------------------------------------------------


def _names(imports: tuple[str, ...]) -> dict[str, Any]:
    """What generated code can name."""
    names = {**vars(runtime), "torch": torch, "nn": nn, "functional": functional}
    for line in imports:
        exec(line, names)
    return names


def _some(kind: Number) -> list[float]:
    """A few numbers of a range."""
    ends = [end for end in (kind.low, kind.high) if end is not None and isfinite(end)]
    return list(_accepted(kind, [*CONSTANTS, sum(ends) / max(len(ends), 1), *ends]))[:FEW]


def _accepted(kind: Any, candidates: list[Any]) -> Iterator[Any]:
    for candidate in candidates:
        problems: list[Any] = []
        value = kind.check(candidate, Subject("", "", None, problems.append))
        if value is not None and not problems:
            yield value


def _arguments(form: Mapping[str, Parameter]) -> dict[str, Any]:
    """Values for all arguments of a form: defaults, else the first that fit."""
    return {name: _argument(name, parameter) for name, parameter in form.items()}


def _argument(name: str, parameter: Parameter) -> Any:
    if isinstance(parameter.default, Width) and parameter.default == C:
        return fixed(CHANNELS)
    if parameter.default is not None:
        return parameter.default
    kind = parameter.kind
    words: tuple[str, ...] = kind.options if isinstance(kind, Word) else ()
    width = [fixed(CHANNELS)] if isinstance(kind, ChannelCount) else []
    candidates = [*width, *(Call(word) for word in words), *NUMBERS, ("x",), "x"]
    found = next(_accepted(kind, candidates), None)
    if found is None:
        raise Contradiction(f"no value was found to try `{name}` with: give it a default")
    return found


def _count(width: Width) -> str:
    return str(int(width.constant))
