"""A flow whose right-hand sides are modules that somebody else wrote."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from odenet.conversion.blocks import WITHIN_FLOW, Blocks, assumed_of
from odenet.conversion.deferred import Step
from odenet.conversion.placeholders import Call, Result
from odenet.runtime import Flow
from odenet.runtime.generated import find_class, origin
from odenet.runtime.learned.constants import LearnedConstant, Moving
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import like
from odenet.runtime.repetition.context import NOTHING, Context
from odenet.runtime.repetition.replay import evaluating
from odenet.runtime.tracing import as_node


class UnsavedMoving(Moving):
    """A constant that training moves, of which the ``state_dict`` has nothing.

    That of a converted model has the names of the original; `Ramps` saves where it is.
    """

    get_extra_state = nn.Module.get_extra_state
    set_extra_state = nn.Module.set_extra_state


class ModuleFlow(Flow):
    """Steps over given modules, in place of a spec's own maps; of any shape that they keep.

    ``flow(u, …)`` hands what follows u (an attention mask, say) to every module, in every step.

    Attributes:
        maps: the attributes that hold a module per step.
        generated: the class of a spec that has the scheme.
        residual: whether the modules compute x + f(x), so that f(x) is what they give less x.
        blocks: where the modules are registered, if not by the flow.
        dim: the axis along which pairs of modules share the input; None is not known.
        gives: what blocks give, by the form of their call.
        settings: how the modules became the flow (`ConversionSettings`).
        by_step: whether the further inputs are one `Call` for each step.
    """

    maps: ClassVar[tuple[str, ...]] = ()
    generated: ClassVar[type[Flow]]
    stochastic = True  # what modules of others draw is not known
    residual: bool = False
    blocks: Blocks | None = None
    dim: int | None = None
    settings: Any = None
    by_step: bool = False
    gives: dict[Hashable, Result]
    _made: bool = False  # lazy parameters were looked for

    def adopt(self, columns: Mapping[str, Sequence[nn.Module]]) -> Self:
        """Takes over a module per step for each map."""
        for name, modules in columns.items():
            setattr(self, name, nn.ModuleList(modules))
        return self

    def borrow(self, blocks: Blocks) -> Self:
        """Looks up a module per step of its one map, at every call, where they are registered."""
        self._modules.pop(self.maps[0], None)
        self.__dict__["blocks"] = blocks
        self.__dict__["gives"] = {}
        for name in self.varying:
            if isinstance(constant := getattr(self, name), Moving):
                setattr(self, name, UnsavedMoving(constant.ramp, constant.name))
        return self

    def __getattr__(self, name: str) -> Any:
        blocks = self.__dict__.get("blocks")
        if blocks is not None and name in self.maps and name not in self._modules:
            found = nn.ModuleList(blocks.read())
            found.training = self.training
            return found
        return super().__getattr__(name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle: its class is made again from the text of the generated module."""
        return _bare, (origin(self.generated), self.maps), self.__getstate__()

    def view(self) -> Self:
        """As every flow's, with the modules that there are now, which are its own children."""
        twin = super().view()
        if self.blocks is not None:
            name = self.maps[0]
            twin.__dict__["_modules"] = {**self._modules, name: getattr(self, name)}
        return twin

    def is_original(self) -> bool:
        """Whether a step makes x + f(x) of x, whatever else its state holds: a residual network's.

        Found by steps on numbers: those here are small whole ones, which no rounding touches.
        """
        if not self.residual or len(self.maps) > 1:
            return False
        constants = [getattr(self, name) for name in self.varying]
        if any(isinstance(constant, LearnedConstant) for constant in constants):
            return False
        probe = Flow.view(self)
        x, place = 8.0, self.slots.index(self.states[0])
        state: Any = tuple(x if i == place else 96.0 + 32 * i for i in range(len(self.slots)))
        rates = [name for name in dir(self.generated) if name.startswith("rate_")]
        probe.__dict__.update({name: lambda *_: 512.0 for name in rates})
        probe.__dict__.update({name: [None] * self.steps for name in self.maps})
        alike: dict[tuple[float, ...], int] = {}
        for step in range(self.steps):
            alike.setdefault(tuple(constant[step] for constant in constants), step)
        try:
            ends = [probe.advance(state, step) for step in alike.values()]
        except TypeError:  # a step that computes more than sums of numbers
            return False
        return all(end[place] == x + 512.0 for end in ends)

    def _called(self, u: Tensor | State, context: Context = NOTHING) -> Tensor:
        """As every flow's; while steps are those of the original, it is that to the last bit."""
        if isinstance(u, tuple) or self._memory == "checkpoint" or not self.is_original():
            return super()._called(u, context)
        call = self.view()
        call.context, call.collected = context, {}
        x = u
        for module in getattr(call, self.maps[0]):
            x = call.value_of(module, [x])
        self.collected = call.collected
        return x

    def evolve(self, state: State) -> State:
        """As every flow's, with the modules looked up once."""
        call = self.view()
        end = super(ModuleFlow, call).evolve(state)
        self.collected = call.collected
        return end

    def _ordered(self, x: Tensor) -> Tensor:
        """As every flow's, but on a CPU as it came: kernels of others are in an order of their own.

        oneDNN would bring them into that of the map in every evaluation, at more cost than it saves
        (14 MiB for a depthwise convolution of 576 channels on 2 x 2 maps, a fifth of the time of a
        ResNet-18).
        """
        return x if x.device.type == "cpu" else super()._ordered(x)

    def train(self, mode: bool = True) -> Self:
        """As every module's; borrowed modules change their mode too."""
        super().train(mode)
        for module in () if self.blocks is None else self.blocks.read():
            module.train(mode)
        return self

    def forward(self, u: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The flow of an input.

        Args:
            u: of any shape that the modules keep.
            *args: handed on to every module.
            **kwargs: handed on to every module.

        Raises:
            ValueError: if a module does not keep the shape, or changes its input in place.
        """
        if not isinstance(u, Tensor):
            return as_node(self, u, args, kwargs)
        if hasattr(self, "get_base"):  # torch.export's stand-in for a module, which has no copies
            return cast(Any, self).get_base().forward(u, *args, **kwargs)
        context = Context(args, kwargs)
        if not self._made:
            self._make_lazy(u, context)
        return self._called(u, context)

    def with_calls(self, u: Tensor, calls: tuple[Call, ...]) -> Tensor:
        """The flow of an input, whose steps have further inputs of their own.

        Args:
            u: of any shape that the modules keep.
            calls: what each module is handed, beside the state.
        """
        call = self.view()
        call.by_step = True
        out = call._called(u, Context((calls,)))
        self.collected = call.collected
        return out

    def given(self, *args: Any, **kwargs: Any) -> Self:
        """The flow with further inputs in place, for its other methods.

        Example:
            ``flow.given(memory, mask=mask).inverse(y)``, or ``.trajectory(x)``.
        """
        call = self.view()
        call.context = Context(args, kwargs)
        return call

    def _make_lazy(self, u: Tensor, context: Context) -> None:
        """Lets lazy modules make their parameters, in a call that is not counted."""
        if any(map(is_lazy, self.parameters())):
            with torch.no_grad(), evaluating(self):
                self._called(u, context)
        self._made = True

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As every module's; borrowed modules are among them, since norms must be found."""
        memo = set() if memo is None else memo
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if self.blocks is not None and self.maps[0] not in self._modules:
            inner = f"{prefix}{'.' if prefix else ''}{self.maps[0]}"
            yield from getattr(self, self.maps[0]).named_modules(memo, inner, remove_duplicate)

    def refine(self) -> Flow:
        """As every flow's, where the flow has its modules to itself.

        Raises:
            ValueError: if they belong to a converted model.
        """
        if self.blocks is not None:
            raise ValueError(
                "the blocks of a converted model cannot be doubled: their parameters have the "
                "names that they had; odenet.reversible makes a flow of copies of them that can"
            )
        return super().refine()

    def initial(self, u: Tensor) -> State:
        """The state before the first step; pairs of modules have parts along ``dim`` each.

        Raises:
            ValueError: if that axis is not known.
        """
        if len(self.maps) == 1:
            return super().initial(u)
        dim = self._axis(u)
        state = super().initial(u.movedim(dim, 1))
        return like(state, [tensor.movedim(1, dim) for tensor in state])

    def readout(self, state: State) -> Tensor:
        """What the flow hands on, in the order of the input."""
        if len(self.maps) == 1:
            return super().readout(state)
        values = dict(zip(self.slots, state, strict=True))
        return torch.cat([values[name] for name in self.states], self._axis(state[0]))

    def _axis(self, u: Tensor) -> int:
        dim = 1 if self.dim is None and u.ndim == 2 else self.dim
        if dim is None:
            raise ValueError(
                f"the layers of the blocks do not tell which axis of {tuple(u.shape)} has the "
                f"channels that {' and '.join(self.maps)} share: say odenet.reversible(…, dim=1) "
                "for maps (batch, channels, …), dim=-1 for tokens (batch, tokens, channels)"
            )
        if not -u.ndim <= dim < u.ndim or dim % u.ndim == 0:
            raise ValueError(f"dim={dim} is not an axis of channels of {tuple(u.shape)}")
        return dim

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"steps={self.steps}, memory={self.memory!r}"

    def evaluate(self, *values: Any) -> Tensor:
        """The right-hand side: what it reads, then this step's module."""
        *reads, module = values
        rate = self.value_of(module, reads)
        return rate - reads[0] if self.residual else rate

    def value_of(self, module: Any, reads: list[Tensor]) -> Tensor:
        """What a module gives.

        Raises:
            ValueError: if that has another shape, or the module changes its input in place.
        """
        versions = _versions(reads)
        rate = self._rate_of(module, reads)
        if _versions(reads) != versions:
            raise ValueError(
                f"{_name(module)} changes its input in place, which the step needs unchanged; "
                "give its first layer inplace=False"
            )
        if not isinstance(rate, Tensor) or rate.shape != reads[0].shape:
            got = tuple(rate.shape) if isinstance(rate, Tensor) else f"a {type(rate).__name__}"
            raise ValueError(
                f"{_name(module)} makes {got} of {tuple(reads[0].shape)}; "
                "the steps of a flow keep the shape"
            )
        return rate

    def _rate_of(self, module: Any, reads: list[Tensor]) -> Any:
        """What a module gives; of several results the first, beside named scalars to collect."""
        rate = self._call(module, reads)
        if isinstance(rate, tuple | list) and rate and isinstance(rate[0], Tensor):
            if len(rate) == 2 and isinstance(rate[1], Mapping):
                self.collect(rate[1])
            return rate[0]
        return rate

    def _call(self, module: Any, reads: list[Tensor]) -> Any:
        args, kwargs = self.context.args, self.context.kwargs
        if self.by_step:
            args, kwargs = args[0][module.index_of_step]
        run = module.value if isinstance(module, Step) else module
        if torch.compiler.is_compiling():
            return run(*reads, *args, **kwargs)
        with WITHIN_FLOW:
            given = run(*reads, *args, **kwargs)
        if isinstance(module, Step) and (assumed := assumed_of(module)) is not None:
            assumed.require(module, given, (args, kwargs))
        return given


@cache
def module_flow_class(generated: type[Flow], maps: tuple[str, ...]) -> type[ModuleFlow]:
    """A generated class with modules of others in the place of its maps."""
    rates = [name for name in dir(generated) if name.startswith("rate_")]
    members = {name: ModuleFlow.evaluate for name in rates}
    members |= {"maps": maps, "generated": generated}
    return type(generated.__name__, (ModuleFlow, generated), members)


def _bare(origin: tuple[str, str, str], maps: tuple[str, ...]) -> ModuleFlow:
    found = module_flow_class(find_class(*origin), maps)
    return object.__new__(found)


def _versions(tensors: list[Tensor]) -> list[int]:
    if torch.compiler.is_compiling():
        return []
    return [0 if t.is_inference() else t._version for t in tensors]


def _name(module: Any) -> str:
    kind = type(module).__name__ if isinstance(module, nn.Module) else "a module"
    return f"the block {kind}" if isinstance(module, nn.Module) else kind
