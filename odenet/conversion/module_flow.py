"""Flows whose right-hand sides are arbitrary torch modules, such as the blocks of a model.

A flow (`odenet.runtime.Flow`) is a sequence of reversible steps as one torch module.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from odenet.conversion.blocks import WITHIN_FLOW, BlockReferences, expected_result
from odenet.conversion.deferred import Step
from odenet.conversion.placeholders import Call, ResultStructure
from odenet.runtime import Flow
from odenet.runtime.generated import find_class, origin
from odenet.runtime.learned.constants import LearnedConstant, RampedConstant
from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import state_like
from odenet.runtime.repetition.context import NO_CONTEXT, Context
from odenet.runtime.repetition.recorder import evaluation_mode
from odenet.runtime.tracing import as_node


class UnsavedRamp(RampedConstant):
    """A constant that training moves, without an entry in the ``state_dict``.

    The ``state_dict`` of a converted model has the same names as the original's, so the state of
    ramps is saved by `Ramps.state_dict`.
    """

    get_extra_state = nn.Module.get_extra_state
    set_extra_state = nn.Module.set_extra_state


class ModuleFlow(Flow):
    """A generated flow with given modules in the place of its maps; they keep the shape.

    ``flow(u, …)`` passes the arguments after u (an attention mask, say) to every module.

    Attributes:
        maps: the names of the attributes that hold the modules, one name for each map of the spec;
            an attribute holds one module per step.
        generated_class: the class that was generated from a spec with the scheme.
        residual: whether the modules compute x + f(x), so that f(x) is their output minus x.
        blocks: references to the modules, if another module registers them; else None.
        dim: the axis along which a pair of modules splits the input; None if unknown.
        result_structures: the structure of what blocks return, by block and form of the call.
        settings: how the modules became the flow (`ConversionSettings`).
        has_calls_by_step: whether the arguments after u are one `Call` for each step.
    """

    maps: ClassVar[tuple[str, ...]] = ()
    generated_class: ClassVar[type[Flow]]
    stochastic = True  # given modules may draw random numbers
    residual: bool = False
    blocks: BlockReferences | None = None
    dim: int | None = None
    settings: Any = None
    has_calls_by_step: bool = False
    result_structures: dict[Hashable, ResultStructure]
    _lazy_parameters_made: bool = False

    def set_modules(self, modules_by_map: Mapping[str, Sequence[nn.Module]]) -> Self:
        """Register the modules: for each map, one per step."""
        for name, modules in modules_by_map.items():
            setattr(self, name, nn.ModuleList(modules))
        return self

    def use_registered_modules(self, blocks: BlockReferences) -> Self:
        """Use modules that another module registers, one per step, for the flow's only map."""
        self._modules.pop(self.maps[0], None)
        self.__dict__["blocks"] = blocks
        self.__dict__["result_structures"] = {}
        for name in self.varying:
            if isinstance(constant := getattr(self, name), RampedConstant):
                setattr(self, name, UnsavedRamp(constant.ramp, constant.name))
        return self

    def __getattr__(self, name: str) -> Any:
        blocks = self.__dict__.get("blocks")
        if blocks is not None and name in self.maps and name not in self._modules:
            modules = nn.ModuleList(blocks.modules())
            modules.training = self.training
            return modules
        return super().__getattr__(name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle, which gets the text of the generated module to make the class again."""
        return _new_instance, (origin(self.generated_class), self.maps), self.__getstate__()

    def shallow_copy(self) -> Self:
        """As `Flow.shallow_copy`; the modules that are registered now become its children."""
        view = super().shallow_copy()
        if self.blocks is not None:
            name = self.maps[0]
            view.__dict__["_modules"] = {**self._modules, name: getattr(self, name)}
        return view

    def is_original(self) -> bool:
        """Whether every step maps x to x + f(x), as the original network does.

        Tested by steps on small integers, which are not rounded.
        """
        if not self.residual or len(self.maps) > 1:
            return False
        constants = [getattr(self, name) for name in self.varying]
        if any(isinstance(constant, LearnedConstant) for constant in constants):
            return False
        probe = Flow.shallow_copy(self)
        # Different numbers for all slots and for f, so that x + f(x) is not reached in another way.
        x, state_index = 8.0, self.slots.index(self.states[0])
        state: Any = tuple(x if i == state_index else 96.0 + 32 * i for i in range(len(self.slots)))
        rates = [name for name in dir(self.generated_class) if name.startswith("rate_")]
        probe.__dict__.update({name: lambda *_: 512.0 for name in rates})
        probe.__dict__.update({name: [None] * self.steps for name in self.maps})
        distinct_steps: dict[tuple[float, ...], int] = {}
        for step in range(self.steps):
            distinct_steps.setdefault(tuple(constant[step] for constant in constants), step)
        try:
            next_states = [probe.advance(state, step) for step in distinct_steps.values()]
        except TypeError:  # a step that applies functions of torch, which refuse numbers
            return False
        return all(after[state_index] == x + 512.0 for after in next_states)

    def _run(self, u: Tensor | State, context: Context = NO_CONTEXT) -> Tensor:
        """As `Flow._run`; if the steps are those of the original, calls the modules in a row."""
        if isinstance(u, tuple) or self._memory == "checkpoint" or not self.is_original():
            return super()._run(u, context)
        view = self.shallow_copy()
        view.context, view.collected = context, {}
        x = u
        for module in getattr(view, self.maps[0]):
            x = view.evaluate_module(module, [x])
        self.collected = view.collected
        return x

    def evolve(self, state: State) -> State:
        """As `Flow.evolve`, with the modules looked up once."""
        view = self.shallow_copy()
        end = super(ModuleFlow, view).evolve(state)
        self.collected = view.collected
        return end

    def _in_layer_order(self, x: Tensor) -> Tensor:
        """As in `Flow`, but on a CPU the memory order stays, since kernels have their own.

        oneDNN would reorder the kernels to the format of the map in every evaluation, at more cost
        than it saves (14 MiB for a depthwise convolution of 576 channels on 2 x 2 maps, a fifth of
        the time of a ResNet-18).
        """
        return x if x.device.type == "cpu" else super()._in_layer_order(x)

    def train(self, mode: bool = True) -> Self:
        """As ``nn.Module.train``, for modules that are registered elsewhere too."""
        super().train(mode)
        for module in () if self.blocks is None else self.blocks.modules():
            module.train(mode)
        return self

    def forward(self, u: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The output of the flow.

        Args:
            u: an input of any shape that the modules keep.
            *args: passed on to every module.
            **kwargs: passed on to every module.

        Raises:
            ValueError: if a module does not keep the shape, or changes its input in place.
        """
        if not isinstance(u, Tensor):
            return as_node(self, u, args, kwargs)
        if hasattr(self, "get_base"):  # torch.export's stand-in for a module, which has no copies
            return cast(Any, self).get_base().forward(u, *args, **kwargs)
        context = Context(args, kwargs)
        if not self._lazy_parameters_made:
            self._initialise_lazy(u, context)
        return self._run(u, context)

    def flow_of_calls(self, u: Tensor, calls: tuple[Call, ...]) -> Tensor:
        """The output of the flow, if each module gets different arguments.

        Args:
            u: an input of any shape that the modules keep.
            calls: the arguments of each module after the state.
        """
        view = self.shallow_copy()
        view.has_calls_by_step = True
        out = view._run(u, Context((calls,)))
        self.collected = view.collected
        return out

    def given(self, *args: Any, **kwargs: Any) -> Self:
        """A shallow copy that passes these arguments to every module, in all of its methods.

        Example:
            ``flow.given(memory, mask=mask).inverse(y)``, or ``.trajectory(x)``.
        """
        view = self.shallow_copy()
        view.context = Context(args, kwargs)
        return view

    def _initialise_lazy(self, u: Tensor, context: Context) -> None:
        """Initialise the parameters of lazy modules, by a call in evaluation mode."""
        if any(map(is_lazy, self.parameters())):
            with torch.no_grad(), evaluation_mode(self):
                self._run(u, context)
        self._lazy_parameters_made = True

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As ``nn.Module.named_modules``, also for modules that are registered elsewhere."""
        memo = set() if memo is None else memo
        yield from super().named_modules(memo, prefix, remove_duplicate)
        if self.blocks is not None and self.maps[0] not in self._modules:
            path = f"{prefix}{'.' if prefix else ''}{self.maps[0]}"
            yield from getattr(self, self.maps[0]).named_modules(memo, path, remove_duplicate)

    def refine(self) -> Flow:
        """As `Flow.refine`, where the modules are registered by the flow.

        Raises:
            ValueError: if they belong to a converted model.
        """
        if self.blocks is not None:
            raise ValueError(
                "the blocks of a converted model cannot be doubled, since their parameters keep "
                "their names; odenet.reversible makes a flow of copies of them that can be refined"
            )
        return super().refine()

    def initial(self, u: Tensor) -> State:
        """The state before the first step; a pair of modules splits the input along ``dim``.

        Raises:
            ValueError: if that axis is not known.
        """
        if len(self.maps) == 1:
            return super().initial(u)
        dim = self._axis(u)
        state = super().initial(u.movedim(dim, 1))
        return state_like(state, [tensor.movedim(1, dim) for tensor in state])

    def readout(self, state: State) -> Tensor:
        """The output of the flow, with its channels in the order of the input."""
        if len(self.maps) == 1:
            return super().readout(state)
        values = dict(zip(self.slots, state, strict=True))
        return torch.cat([values[name] for name in self.states], self._axis(state[0]))

    def _axis(self, u: Tensor) -> int:
        """The axis of a tensor along which a pair of modules splits its channels."""
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
        """The arguments that ``print`` shows."""
        return f"steps={self.steps}, memory={self.memory!r}"

    def evaluate_rate(self, *values: Any) -> Tensor:
        """The right-hand side; `values` are its inputs, then the module of the step."""
        *inputs, module = values
        rate = self.evaluate_module(module, inputs)
        return rate - inputs[0] if self.residual else rate

    def evaluate_module(self, module: Any, inputs: list[Tensor]) -> Tensor:
        """The output of a module.

        Raises:
            ValueError: if it has another shape, or the module changes its input in place.
        """
        versions = _versions(inputs)
        value = self._main_output(module, inputs)
        if _versions(inputs) != versions:
            raise ValueError(
                f"{_describe_module(module)} changes its input in place, which the step needs "
                "unchanged; give its first layer inplace=False"
            )
        if not isinstance(value, Tensor) or value.shape != inputs[0].shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ValueError(
                f"{_describe_module(module)} makes {got} of {tuple(inputs[0].shape)}; "
                "the steps of a flow keep the shape"
            )
        return value

    def _main_output(self, module: Any, inputs: list[Tensor]) -> Any:
        """A module's output; of a tuple its first entry. Collects the scalars of `(y, scalars)`."""
        result = self._call_module(module, inputs)
        if isinstance(result, tuple | list) and result and isinstance(result[0], Tensor):
            if len(result) == 2 and isinstance(result[1], Mapping):
                self.collect(result[1])
            return result[0]
        return result

    def _call_module(self, module: Any, inputs: list[Tensor]) -> Any:
        args, kwargs = self.context.args, self.context.kwargs
        if self.has_calls_by_step:  # the first argument is then a `Call` for each step
            args, kwargs = args[0][module.index_of_step]
        run = module.evaluate_block if isinstance(module, Step) else module
        if torch.compiler.is_compiling():
            return run(*inputs, *args, **kwargs)
        with WITHIN_FLOW:
            result = run(*inputs, *args, **kwargs)
        if isinstance(module, Step) and (expected := expected_result(module)) is not None:
            expected.check(module, result, (args, kwargs))
        return result


@cache
def module_flow_class(generated_class: type[Flow], maps: tuple[str, ...]) -> type[ModuleFlow]:
    """The subclass of a generated class that takes modules in the place of its maps."""
    rates = [name for name in dir(generated_class) if name.startswith("rate_")]
    members = {name: ModuleFlow.evaluate_rate for name in rates}
    members |= {"maps": maps, "generated_class": generated_class}
    return type(generated_class.__name__, (ModuleFlow, generated_class), members)


def _new_instance(class_origin: tuple[str, str, str], maps: tuple[str, ...]) -> ModuleFlow:
    return object.__new__(module_flow_class(find_class(*class_origin), maps))


def _versions(tensors: list[Tensor]) -> list[int]:
    """The version counters of tensors, which torch increments at every change in place."""
    if torch.compiler.is_compiling():
        return []
    return [0 if t.is_inference() else t._version for t in tensors]


def _describe_module(module: Any) -> str:
    return f"the block {type(module).__name__}" if isinstance(module, nn.Module) else "a module"
