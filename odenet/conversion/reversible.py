"""`reversible`: makes given modules the right-hand sides of a flow, a chain of reversible steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from torch import nn

from odenet.analyse.scheme_on_dynamics import drift_warning
from odenet.compiler import Program, loads
from odenet.conversion.channel_axis import channel_axis
from odenet.conversion.module_flow import ModuleFlow, module_flow_class
from odenet.conversion.schemes import ChosenScheme, SchemeLike, choose_scheme
from odenet.model.expressions import expr
from odenet.model.expressions.expr import with_primes
from odenet.model.typed.scheme import Scheme
from odenet.runtime import Flow, Geometric, Learned, Ramp, Uniform

Block = nn.Module | tuple[nn.Module, ...]
Speed = float | str | nn.Module | None  # the initial speed v0; see `reversible` and `convert`
SpeedFactory = Callable[[nn.Module], nn.Module]  # first block of a flow -> the map from x0 to v0


@dataclass(frozen=True)
class ConversionSettings:
    """How modules become a flow.

    Attributes:
        chosen: the scheme whose steps the modules become, with its text and constants.
        residual: whether the modules compute x + f(x).
        v0: the initial speed; see `reversible`.
        constants: the constants of the scheme that the caller gives.
        exact: whether the steps are taken in fixed-point arithmetic.
        checkpoint: whether blocks outside of flows are checkpointed.
    """

    chosen: ChosenScheme
    residual: bool = False
    v0: Speed | SpeedFactory = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    checkpoint: bool = False


def reversible(
    blocks: Sequence[Block],
    scheme: SchemeLike = "momentum",
    *,
    residual: bool = False,
    v0: Speed = None,
    exact: bool = False,
    dim: int | None = None,
    **constants: Any,
) -> ModuleFlow:
    """A flow whose step n evaluates the n-th of given modules.

    Args:
        blocks: modules that keep the shape of their input; for a scheme such as verlet, which
            splits the channels into halves, pairs (f, g) of modules.
        scheme: a name of the library or `coupled(heun)` and the like, a file that ends in `.ode`,
            the text of a scheme, or a program, whose scheme is taken with its constants.
        residual: whether the modules compute x + f(x) rather than f(x).
        v0: the initial speed: 0, "f" for the first module's f(x0), or a module that computes it
            from x0. By default 0; a scheme that starts from an earlier value has the speed that its
            equation gives.
        exact: take the steps in fixed point, where they are undone bit for bit at any depth.
        dim: the axis along which pairs split the input: 1 for maps (batch, channels, …), -1 for
            tokens (batch, tokens, channels). By default that of their layers, where these agree.
        **constants: of the scheme, such as gamma, h or T, in place of its defaults and those of a
            program; where nothing gives h or T, h is 1. Each is a number, one for each step, or of
            `odenet.runtime` a ``Ramp``, ``Learned``, ``Uniform`` or ``Geometric``.

    Warns:
        UserWarning: if the inverse steps are too inexact in float32 to train by, or do not exist
            (euler, heun, rk4; momentum with γ = 0).

    Raises:
        ValueError: if there is no such scheme, a constant is unknown or missing, or the blocks or
            the speed do not suit the scheme.
        SpecError: if the scheme's text has an error, or a constant has a bad value.
    """
    chosen = choose_scheme(scheme)
    name, maps = chosen.scheme.name, map_names(chosen.scheme)
    by_step = [block if isinstance(block, tuple) else (block,) for block in blocks]
    if not by_step:
        raise ValueError("a flow needs at least one block")
    for modules in by_step:
        if len(modules) != len(maps) or not all(isinstance(m, nn.Module) for m in modules):
            wanted = "one module" if len(maps) == 1 else f"a pair of modules ({', '.join(maps)})"
            raise ValueError(f"{name} takes {wanted} per step, not {modules!r}")
    if dim is not None and len(maps) == 1:
        raise ValueError(f"{name} does not split its input, so that it takes no dim")
    flow = new_flow(len(by_step), ConversionSettings(chosen, residual, v0, constants, exact))
    warn_if_not_reversible(flow, "the flow")
    flow.dim = channel_axis(m for modules in by_step for m in modules) if dim is None else dim
    return flow.set_modules(dict(zip(maps, zip(*by_step, strict=True), strict=True)))


def new_flow(steps: int, settings: ConversionSettings) -> ModuleFlow:
    """A flow of a scheme without its modules, which `ModuleFlow.set_modules` adds."""
    scheme = settings.chosen.scheme
    program, generated = compile_flow(settings, steps)
    _warn_of_drift(program, steps)
    flow = module_flow_class(generated, map_names(scheme))(len(scheme.patterns), steps)
    flow.residual = settings.residual
    flow.settings = settings if not callable(settings.v0) else replace(settings, v0=None)
    if isinstance(settings.v0, nn.Module):
        flow.speed = nn.ModuleList([settings.v0])
    return flow


def compile_flow(settings: ConversionSettings, steps: int) -> tuple[Program, type[Flow]]:
    """The compiled spec of a flow of modules, and its generated class."""
    scheme, text = settings.chosen.scheme, spec_text(settings)
    has_list = "= [" in text  # one value per step; otherwise the class fits any number of steps
    return _compile_spec(scheme.name, text, len(scheme.patterns), steps if has_list else 1)


def map_names(scheme: Scheme) -> tuple[str, ...]:
    """The names of the maps in the spec of a flow: one per equation of its scheme.

    Raises:
        ValueError: if the equations are not of the form Y' = f(Z) with one unknown each.
    """
    if scheme.is_splitting:
        raise ValueError(f"{scheme.name} takes no module: it takes a sum of right-hand sides")
    for pattern in scheme.patterns:
        if pattern.decay:
            raise ValueError(f"{scheme.name} takes no module: its decay is in the equation")
        if len(pattern.reads) != 1:
            reason = f"{pattern.function} reads several unknowns"
            raise ValueError(f"{scheme.name} takes no module: {reason}")
    return tuple("fgkm"[: len(scheme.patterns)])  # without h, which is the step size


def spec_text(settings: ConversionSettings) -> str:
    """The specification of a flow, with identity maps in the place of the modules."""
    scheme = settings.chosen.scheme
    maps = map_names(scheme)
    if settings.residual and len(maps) > 1:
        raise ValueError(f"{scheme.name} takes no blocks x + f(x): its f reads the other half")
    unknowns = {p.unknown: f"x{i + 1}" for i, p in enumerate(scheme.patterns)}
    constants = settings.chosen.merge_constants(settings.constants)
    values = ", ".join(f"{name} = {spec_literal(value)}" for name, value in constants.items())
    lines = [f"state {', '.join(unknowns.values())}"]
    lines += [f"map {name} = identity" for name in maps]
    lines += ["shared map speed = identity"] if isinstance(settings.v0, nn.Module) else []
    for pattern, name in zip(scheme.patterns, maps, strict=True):
        left = with_primes(unknowns[pattern.unknown], pattern.order)
        lines.append(f"{left} = {name}({unknowns[pattern.reads[0]]})")
    exact = "exact" if settings.exact else ""
    lines.append(f"discretise {scheme.name}({values}) {_start_clause(scheme, settings.v0)} {exact}")
    lines.append(settings.chosen.text)
    return "\n".join(lines)


def spec_literal(value: Any) -> str:
    """A constant of a scheme in the syntax of a specification."""
    match value:
        case Ramp():
            length = f"epochs = {value.epochs}" if value.steps is None else f"steps = {value.steps}"
            return f"ramp({value.start}, {value.end}, {length})"
        case Learned():
            return f"learned({value.value}, shared = {'yes' if value.shared else 'no'})"
        case Uniform():
            return f"uniform({value.low}, {value.high}, seed = {value.seed})"
        case Geometric():
            return f"geometric({value.first}, ratio = {value.ratio})"
        case list() | tuple():
            return f"[{', '.join(map(str, value))}]"
    return str(value)


def _start_clause(scheme: Scheme, v0: Speed | SpeedFactory) -> str:
    """The `start` clause that sets an initial speed; empty if the scheme's text sets it."""
    first = scheme.patterns[0]
    x = f"{first.unknown}[0]"
    is_two_step = scheme.stored_offsets(first.unknown) == (-1, 0) and len(scheme.patterns) == 1
    if v0 is None and scheme.aux:
        return ""
    if v0 is None:
        v0 = "f" if is_two_step and first.order == 1 else 0
    speed_codes = {"0": "", "f": f"{first.function}({x})", "module": f"speed({x})"}
    key = "module" if isinstance(v0, nn.Module) else str(v0)
    if key not in speed_codes:
        raise ValueError(f'v0 is 0, "f" or a module, not {v0!r}')
    speed = speed_codes[key]
    if is_two_step:
        return f"start {first.unknown}[-1] = {x}" + (f" - h {speed}" if speed else "")
    if _has_initial_speed(scheme):
        return f"start {scheme.aux[0]}[0] = {speed or 0}"
    if speed or scheme.aux:
        raise ValueError(f"{scheme.name} has no initial speed")
    return ""


def _has_initial_speed(scheme: Scheme) -> bool:
    """Whether the scheme has one auxiliary unknown that starts at 0 or F, and so is a speed."""
    values = [value for slot, value in scheme.starts if slot.name in scheme.aux]
    return len(values) == 1 and isinstance(values[0], expr.Zero | expr.Rate)


@cache
def _compile_spec(name: str, text: str, channels: int, steps: int) -> tuple[Program, type[Flow]]:
    program = loads(text, name=f"{name}.ode")
    return program, type(program.flow(channels, steps))


def warn_if_not_reversible(flow: Flow, subject: str) -> None:
    """Warn the caller's caller if a flow has no inverse; the subject names it in the message."""
    if not flow.reversible:
        warnings.warn(
            f"{subject} is not reversible, and stores activations as plain autograd does: "
            f"{flow.obstacle}",
            stacklevel=3,
        )


def _warn_of_drift(program: Program, steps: int) -> None:
    warning = drift_warning(program.model, program.derivation, steps)
    if warning is not None:
        cure = "say exact=True, or set flow.memory = 'stored'"
        warnings.warn(f"{warning.message}; {cure}", stacklevel=4)
