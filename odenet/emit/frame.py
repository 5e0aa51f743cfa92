"""The variables of one step: which Python name holds which value of which state.

A scheme speaks of unknowns; each holds one or more states (its components), and is kept at one
or more times (its history). An auxiliary unknown has the components of what it is added to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from odenet.emit.expressions import PRODUCT, Code, Printer
from odenet.emit.names import Names
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import reads, reads_input
from odenet.model.typed.components import owners_of
from odenet.model.typed.decay import decays_of
from odenet.model.typed.program import Model, row_imports

_SUFFIX = {1: "_next", 0: "", -1: "_prev"}
Value = tuple[str, int, int]  # an unknown or stage, its offset in time, a component


class Frame:
    """Python names for everything a step touches, and the printing of formulas with them."""

    def __init__(self, model: Model):
        self.model = model
        self.scheme = model.scheme
        self.names = Names(row_imports(model))
        self.pattern = {p.function: p for p in self.scheme.patterns}
        system = model.dynamics.system(self.scheme.patterns[0].order)
        found = decays_of(system, self.scheme, model.discretisation.groups)
        # a `let` that is a decay of the scheme is one number with it
        self.decays = {f.name: n for n, f in found.items() if isinstance(f, expr.Constant)}
        self.group = owners_of(self.scheme)
        for name in self.scheme_constants:  # first: they are arguments of the flow
            self.constant(name)
        self.time = self.names("time", "t") if model.time is not None else ""
        for state in model.system:
            self.state(state)
        for name in (*model.parameters, *model.maps):
            self.names("spec", name)

    # components

    def components(self, unknown: str) -> tuple[State, ...]:
        """The states an unknown or stage holds."""
        return self.model.discretisation.groups[self.group[unknown]]

    # names

    def state(self, state: State) -> str:
        """The name of a state; a derivative that is a state of its own ends in `_dot`."""
        if state.order == 0:
            return self.names("spec", state.name)
        return self.names("dot", state.name, f"{self.names('spec', state.name)}_dot")

    def value(self, unknown: str, offset: int, component: int) -> str:
        """The name of a component of an unknown at a time, or of a stage (offset 0)."""
        states = self.components(unknown)
        if unknown in self.model.discretisation.groups:
            base = self.state(states[component])
        else:
            plain = unknown if len(states) == 1 else f"{unknown}_{self.state(states[component])}"
            base = self.names("scheme", f"{unknown} {component}", plain)
        suffix = _SUFFIX.get(offset, f"_prev{-offset}")
        return self.names("slot", f"{base} {offset}", base + suffix) if suffix else base

    def registers(self) -> dict[Value, str]:
        """The values stored between two steps, and their names, in the order of the state."""
        return {
            (slot.name, slot.offset, i): self.value(slot.name, slot.offset, i)
            for slot in self.scheme.slots
            for i in range(len(self.components(slot.name)))
        }

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the stored values; the input comes last when the dynamics read it."""
        exogenous = ("u",) if self.model.dynamics.exogenous else ()
        return (*self.registers().values(), *exogenous)

    def constant(self, name: str) -> str:
        """A number of the scheme or of a `let`, as an attribute."""
        if name == "h" and name in self.scheme_constants:
            return "self.h"  # the runtime reads it
        space = "scheme" if name in self.scheme_constants else "spec"
        return f"self.{self.names(f'{space} constant', name)}"

    def let(self, name: str) -> str:
        """A number of a `let` in formulas of the dynamics, whatever the scheme calls its own."""
        if name in self.decays:
            return self.constant(self.decays[name])
        return f"self.{self.names('spec constant', name)}"

    @property
    def scheme_constants(self) -> tuple[str, ...]:
        """The names of the scheme's constants and lets, and `h`."""
        names = [name for name, _ in (*self.scheme.constants, *self.scheme.lets)]
        return ("h", *names) if self.scheme.uses_step_size else tuple(names)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The scheme's constants that differ from step to step, in the order of `shears`."""
        chosen = self.model.discretisation.varying
        return tuple(name for name in self.scheme_constants if name in chosen)

    def varies(self, node: expr.Node) -> bool:
        """Whether a formula of the scheme's constants differs from step to step."""
        return bool(self.varying_in(node))

    def varying_in(self, node: expr.Node) -> tuple[str, ...]:
        """The constants that make it do so, those that its lets read included."""
        lets = dict(self.scheme.lets)
        names = {inner.name for inner in node.walk() if isinstance(inner, expr.Constant)}
        found = set(names)
        for name in names & set(lets):
            found.update(self.varying_in(lets[name]))
        return tuple(name for name in self.varying if name in found)

    def argument(self, name: str) -> str:
        """A constant as an argument of a method, by the name of its attribute."""
        return self.constant(name).removeprefix("self.")

    def constant_at(self, name: str, at: Callable[[str], str]) -> Code:
        """The code of a constant in a step; a let that follows from the step's own is written out.

        Args:
            name: of a constant or a let of the scheme, or of a let of the file.
            at: gives the code of one that differs from step to step.
        """
        if name in self.varying:
            return Code(at(name))
        value = dict(self.scheme.lets).get(name)
        if value is None or not self.varies(value):
            return Code(self.constant(name))
        return self.scalar(value, at)

    def at_step(self, name: str, step: str = "step") -> str:
        """A parameter or map of one step, as an attribute."""
        learned = self.model.parameters.get(name) or self.model.maps[name]
        return f"self.{self.names('spec', name)}[{'0' if learned.shared else step}]"

    def value_of(self, name: str, stored: str) -> str:
        """The value of a parameter, from the code of what the module stores for it."""
        learned = self.model.parameters.get(name)
        return stored if learned is None else learned.kind.value(learned.options, stored)

    def scalar(self, node: expr.Node, at: Callable[[str], str] = str) -> Code:
        """The code of a formula of the scheme's constants, `at` as in `constant_at`."""

        def leaf(inner: expr.Node) -> Code:
            if isinstance(inner, expr.Time):
                return Code(self.time)
            assert isinstance(inner, expr.Constant)
            return self.constant_at(inner.name, at)

        return Printer(leaf, str, {}, self.exponential)(node)

    @property
    def exponential(self) -> str:
        """The function that is exp of a number; of one that may be learned where steps differ."""
        return "exponential" if self.varying else "math.exp"

    # right-hand sides

    def rate_method(self, node: expr.Rate, component: int) -> "RateMethod":
        """The method that a right-hand side in a line of the scheme is for one component."""
        return self.rates[
            self.components(self.pattern[node.function].variable)[component], node.function
        ]

    def handed(self, node: expr.Rate, component: int) -> list[tuple[expr.Node, int]]:
        """The formula for each state that this method reads, and which component of it."""
        groups = self.model.discretisation.groups
        given = list(zip(self.pattern[node.function].reads, node.arguments, strict=True))
        return [
            (value, groups[unknown].index(read))
            for read in self.rate_method(node, component).states
            for unknown, value in given
            if read in groups[unknown]
        ]

    def time_of(self, step: str) -> Code:
        """The time before a step."""
        if "h" in self.varying:
            return Code(f"self.time_before({step})")
        return Code(f"{step} * self.h", PRODUCT)

    @cached_property
    def rates(self) -> dict[tuple[State, str], "RateMethod"]:
        """The methods of the right-hand sides, by unknown and function."""
        return {key: self._method(*key, rate) for key, rate in self.model.rates.items()}

    def _method(self, state: State, function: str, rate: expr.Node) -> "RateMethod":
        read, model, part = reads(rate), self.model, self.pattern[function].part
        learned = {node.name for node in rate.walk() if isinstance(node, _LEARNED)}
        number = "" if part is None else f"{part[0] + 1}_"  # no state begins with a digit
        return RateMethod(
            name=f"rate_{number}{self.state(state)}",
            states=tuple(state for state in model.system if state in read),
            input=reads_input(rate),
            time=any(isinstance(node, expr.Time) for node in rate.walk()),
            params=tuple(name for name in (*model.parameters, *model.maps) if name in learned),
        )


@dataclass(frozen=True)
class RateMethod:
    """The method of a right-hand side, and what it takes as arguments, in their order.

    Args:
        name: of the method; the summands of one right-hand side are numbered.
        states: that it reads.
        input: whether it reads the input.
        time: whether it reads the time.
        params: the parameters and maps that it uses, in the order of declaration.
    """

    name: str
    states: tuple[State, ...]
    input: bool
    time: bool
    params: tuple[str, ...]


_LEARNED = (expr.Param, expr.Bias, expr.LearnedScalar, expr.Map)
