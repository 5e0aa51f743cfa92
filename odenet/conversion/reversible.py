"""Any shape-preserving modules as the right-hand sides of a reversible flow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from torch import nn

from odenet.analyse.scheme_on_dynamics import drift_warning
from odenet.compiler import Program, loads
from odenet.conversion.axes import channel_axis
from odenet.conversion.module_flow import ModuleFlow, module_flow_class
from odenet.conversion.schemes import ChosenScheme, GivenScheme, choose
from odenet.model.expressions import expr
from odenet.model.expressions.expr import derivative
from odenet.model.typed.scheme import Scheme
from odenet.runtime import Flow, Geometric, Learned, Ramp, Uniform

Block = nn.Module | tuple[nn.Module, ...]
Speed = float | str | nn.Module | None
MakeSpeed = Callable[[nn.Module], nn.Module]  # of the first block


@dataclass(frozen=True)
class ConversionSettings:
    """How modules become a flow.

    Attributes:
        scheme: what the modules become steps of.
        residual: whether the modules compute x + f(x).
        v0: the initial speed; see `reversible`.
        constants: of the scheme.
        exact: whether the steps are taken in fixed point.
        checkpoint: whether what stays outside of flows is evaluated again in the backward pass.
    """

    scheme: ChosenScheme
    residual: bool = False
    v0: Speed | MakeSpeed = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    checkpoint: bool = False


def reversible(
    blocks: Sequence[Block],
    scheme: GivenScheme = "momentum",
    *,
    residual: bool = False,
    v0: Speed = None,
    exact: bool = False,
    dim: int | None = None,
    **constants: Any,
) -> ModuleFlow:
    """A flow whose step n evaluates the n-th of given modules.

    Args:
        blocks: modules that keep the shape of what they are given; pairs of them, f and g, for a
            scheme such as verlet, which splits the channels into halves.
        scheme: a name of the library or `coupled(heun)` and the like, a file that ends in `.ode`,
            the text of a scheme, or a program, whose scheme is taken with its constants.
        residual: whether they compute x + f(x) rather than f(x).
        v0: the initial speed: 0, "f" for the first module's f(x0), or a module of x0. By default
            0; a scheme that starts from an earlier value has the speed that its equation gives.
        exact: take the steps in fixed point, where they are undone bit for bit at any depth.
        dim: the axis that pairs share: 1 for maps (batch, channels, …), -1 for tokens (batch,
            tokens, channels). By default that of their layers, where these agree.
        **constants: of the scheme, such as gamma, h or T, in place of its defaults and those of a
            program; where nothing gives h or T, h is 1. Each is a number, one for each step, or of
            `odenet.runtime` a ``Ramp``, ``Learned``, ``Uniform`` or ``Geometric``.

    Warns:
        UserWarning: if that many steps are not undone in float32 well enough to train by, or have
            no inverse at all (euler, heun, rk4; momentum with γ = 0).

    Raises:
        ValueError: if there is no such scheme, it has no such constant, or needs one; if the blocks
            or the speed do not suit it.
        SpecError: if its text has an error, or a constant a bad value.
    """
    chosen = choose(scheme)
    name, maps = chosen.scheme.name, opaque_maps(chosen.scheme)
    rows = [block if isinstance(block, tuple) else (block,) for block in blocks]
    if not rows:
        raise ValueError("a flow needs at least one block")
    for row in rows:
        if len(row) != len(maps) or not all(isinstance(module, nn.Module) for module in row):
            wanted = "one module" if len(maps) == 1 else f"a pair of modules ({', '.join(maps)})"
            raise ValueError(f"{name} takes {wanted} per step, not {row!r}")
    if dim is not None and len(maps) == 1:
        raise ValueError(f"{name} does not split its input, so that it takes no dim")
    flow = new_flow(len(rows), ConversionSettings(chosen, residual, v0, constants, exact))
    warn_of_stored(flow, "the flow")
    flow.dim = channel_axis(module for row in rows for module in row) if dim is None else dim
    return flow.adopt(dict(zip(maps, zip(*rows, strict=True), strict=True)))


def new_flow(steps: int, options: ConversionSettings) -> ModuleFlow:
    """A flow of a scheme that has yet to be given its modules."""
    scheme = options.scheme.scheme
    program, generated = compiled(options, steps)
    _warn_of_drift(program, steps)
    flow = module_flow_class(generated, opaque_maps(scheme))(len(scheme.patterns), steps)
    flow.residual = options.residual
    flow.settings = options if not callable(options.v0) else replace(options, v0=None)
    if isinstance(options.v0, nn.Module):
        flow.speed = nn.ModuleList([options.v0])
    return flow


def compiled(options: ConversionSettings, steps: int) -> tuple[Program, type[Flow]]:
    """The spec of a flow, and its generated class.

    Args:
        options: how modules become the flow.
        steps: how many of them.
    """
    scheme, text = options.scheme.scheme, spec_text(options)
    listed = "= [" in text  # values for that many steps
    return _compiled(scheme.name, text, len(scheme.patterns), steps if listed else 1)


def opaque_maps(scheme: Scheme) -> tuple[str, ...]:
    """The names of the maps that the equations of a scheme are given by.

    Raises:
        ValueError: if an equation reads more than one unknown.
    """
    if scheme.splits:
        raise ValueError(f"{scheme.name} takes no module: it takes a sum of right-hand sides")
    for pattern in scheme.patterns:
        if pattern.decay:
            raise ValueError(f"{scheme.name} takes no module: its decay is in the equation")
        if len(pattern.reads) != 1:
            raise ValueError(
                f"{scheme.name} takes no module: {pattern.function} reads several unknowns"
            )
    return tuple("fgkm"[: len(scheme.patterns)])


def spec_text(options: ConversionSettings) -> str:
    """The specification of a flow around opaque maps."""
    scheme = options.scheme.scheme
    maps = opaque_maps(scheme)
    if options.residual and len(maps) > 1:
        raise ValueError(f"{scheme.name} takes no blocks x + f(x): its f reads the other half")
    unknowns = {p.variable: f"x{i + 1}" for i, p in enumerate(scheme.patterns)}
    constants = options.scheme.with_constants(options.constants)
    given = ", ".join(f"{name} = {written(value)}" for name, value in constants.items())
    lines = [f"state {', '.join(unknowns.values())}"]
    lines += [f"map {name} = identity" for name in maps]
    lines += ["shared map speed = identity"] if isinstance(options.v0, nn.Module) else []
    for pattern, name in zip(scheme.patterns, maps, strict=True):
        left = derivative(unknowns[pattern.variable], pattern.order)
        lines.append(f"{left} = {name}({unknowns[pattern.reads[0]]})")
    exact = "exact" if options.exact else ""
    lines.append(f"discretise {scheme.name}({given}) {_start(scheme, options.v0)} {exact}")
    lines.append(options.scheme.block)
    return "\n".join(lines)


def written(value: Any) -> str:
    """A constant as a specification has it."""
    match value:
        case Ramp():
            long = f"epochs = {value.epochs}" if value.steps is None else f"steps = {value.steps}"
            return f"ramp({value.start}, {value.end}, {long})"
        case Learned():
            return f"learned({value.value}, shared = {'yes' if value.shared else 'no'})"
        case Uniform():
            return f"uniform({value.low}, {value.high}, seed = {value.seed})"
        case Geometric():
            return f"geometric({value.first}, ratio = {value.ratio})"
        case list() | tuple():
            return f"[{', '.join(map(str, value))}]"
    return str(value)


def _start(scheme: Scheme, v0: Speed | MakeSpeed) -> str:
    """The `start` line of an initial speed; none where the scheme's own lines hold."""
    first = scheme.patterns[0]
    x = f"{first.variable}[0]"
    history = scheme.history(first.variable) == (-1, 0) and len(scheme.patterns) == 1
    if v0 is None and scheme.aux:
        return ""
    if v0 is None:
        v0 = "f" if history and first.order == 1 else 0
    speeds = {"0": "", "f": f"{first.function}({x})", "module": f"speed({x})"}
    key = "module" if isinstance(v0, nn.Module) else str(v0)
    if key not in speeds:
        raise ValueError(f'v0 is 0, "f" or a module, not {v0!r}')
    speed = speeds[key]
    if history:
        return f"start {first.variable}[-1] = {x}" + (f" - h {speed}" if speed else "")
    if _starts_from_a_speed(scheme):
        return f"start {scheme.aux[0]}[0] = {speed or 0}"
    if speed or scheme.aux:
        raise ValueError(f"{scheme.name} has no initial speed")
    return ""


def _starts_from_a_speed(scheme: Scheme) -> bool:
    """Whether the one unknown of the scheme's own begins at 0 or at F; others are copies of x."""
    values = [value for slot, value in scheme.starts if slot.name in scheme.aux]
    return len(values) == 1 and isinstance(values[0], expr.Zero | expr.Rate)


@cache
def _compiled(name: str, text: str, channels: int, steps: int) -> tuple[Program, type[Flow]]:
    """The spec of a flow, and its generated class."""
    program = loads(text, name=f"{name}.ode")
    return program, type(program.flow(channels, steps))


def warn_of_stored(flow: Flow, what: str) -> None:
    """Warns the caller's caller that a flow stores activations, where its scheme has no inverse."""
    if not flow.reversible:
        warnings.warn(
            f"{what} is not reversible, and stores activations as plain autograd does: "
            f"{flow.obstacle}",
            stacklevel=3,
        )


def _warn_of_drift(program: Program, steps: int) -> None:
    warning = drift_warning(program.model, program.derivation, steps)
    if warning is not None:
        cure = "say exact=True, or set flow.memory = 'stored'"
        warnings.warn(f"{warning.message}; {cure}", stacklevel=4)
