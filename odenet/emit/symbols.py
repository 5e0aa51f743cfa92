"""The symbol table of a generated step: its Python names of states, constants and parameters.

The equations of a file have states (`Y`, `Z`); a scheme is written for unknowns. Each unknown
consists of one or more states (its components), at one or more times (its history). An auxiliary
unknown has the components of the unknown that it is added to. A slot is an unknown at one time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from odenet.emit.expressions import PRODUCT, Code, Printer
from odenet.emit.names import Names
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import reads_input, states_read
from odenet.model.typed.group_sizes import group_unknowns
from odenet.model.typed.program import Model, row_imports
from odenet.model.typed.right_hand_sides import decay_factors

_SUFFIX = {1: "_next", 0: "", -1: "_prev"}  # of the variable of `Y[n+1]`, `Y[n]` and `Y[n-1]`
ValueKey = tuple[str, int, int]  # an unknown or stage, its offset in time steps, a component


class SymbolTable:
    """The Python names in the code of a step, and code for formulas of scheme constants.

    Attributes:
        python_name: gives the Python name of a name in a namespace.
        for_equations: the equations of the scheme's `for` line, as `Y' = F(Z)`, by function name.
        decay_names: the scheme's name of a decay constant, by the `let` of the file that sets it.
        owners: unknown or stage -> the unknown of which it has the components.
        time: the variable of the time; empty if no equation reads it.
    """

    def __init__(self, model: Model):
        self.model = model
        self.scheme = model.scheme
        self.python_name = Names(row_imports(model))
        self.for_equations = {p.function: p for p in self.scheme.patterns}
        system = model.dynamics.system(self.scheme.patterns[0].order)
        decays = decay_factors(system, self.scheme, model.discretisation.groups)
        # such a `let` and the scheme's constant share one attribute
        self.decay_names = {f.name: n for n, f in decays.items() if isinstance(f, expr.Constant)}
        self.owners = group_unknowns(self.scheme)
        for name in self.scheme_constants:  # first, to keep their names: they are arguments
            self.constant(name)
        self.time = self.python_name("time", "t") if model.first_time_node is not None else ""
        for state in model.system:
            self.state(state)
        for name in (*model.parameters, *model.maps):
            self.spec_name(name)

    # components

    def components(self, unknown: str) -> tuple[State, ...]:
        """The states that an unknown or stage consists of."""
        return self.model.discretisation.groups[self.owners[unknown]]

    # names

    def spec_name(self, name: str) -> str:
        """The Python name of a state, parameter or map that the file declares."""
        return self.python_name("spec", name)

    def state(self, state: State) -> str:
        """The variable of a state; that of a derivative ends in `_dot`."""
        if state.order == 0:
            return self.spec_name(state.name)
        return self.python_name("dot", state.name, f"{self.spec_name(state.name)}_dot")

    def variable(self, unknown: str, offset: int, component: int) -> str:
        """The variable of a component of an unknown at a time, or of a stage (offset 0)."""
        states = self.components(unknown)
        if unknown in self.model.discretisation.groups:
            base = self.state(states[component])
        else:
            name = unknown if len(states) == 1 else f"{unknown}_{self.state(states[component])}"
            base = self.python_name("scheme", f"{unknown} {component}", wanted=name)
        suffix = _SUFFIX.get(offset, f"_prev{-offset}")
        return self.python_name("slot", f"{base} {offset}", base + suffix) if suffix else base

    def registers(self) -> dict[ValueKey, str]:
        """The variable of each value stored between two steps, in the order of `State`."""
        return {
            (slot.name, slot.offset, i): self.variable(slot.name, slot.offset, i)
            for slot in self.scheme.slots
            for i in range(len(self.components(slot.name)))
        }

    @property
    def slots(self) -> tuple[str, ...]:
        """The variables of the stored values; the input comes last if the dynamics read it."""
        inputs = ("u",) if self.model.dynamics.reads_input else ()
        return (*self.registers().values(), *inputs)

    def constant(self, name: str) -> str:
        """The attribute of a constant of the scheme or a `let`, as `self.gamma`."""
        if name == "h" and name in self.scheme_constants:
            return "self.h"  # the runtime reads it
        namespace = "scheme" if name in self.scheme_constants else "spec"
        return f"self.{self.python_name(f'{namespace} constant', name)}"

    def let(self, name: str) -> str:
        """The attribute of a `let` of the file, which may have the name of a scheme's constant."""
        if name in self.decay_names:
            return self.constant(self.decay_names[name])
        return f"self.{self.python_name('spec constant', name)}"

    @property
    def scheme_constants(self) -> tuple[str, ...]:
        """The names of the scheme's constants and lets, and `h`."""
        names = [name for name, _ in (*self.scheme.constants, *self.scheme.lets)]
        return ("h", *names) if self.scheme.uses_step_size else tuple(names)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The scheme's constants that differ from step to step: the arguments of `shears`."""
        values = self.model.discretisation.varying
        return tuple(name for name in self.scheme_constants if name in values)

    def varies(self, node: expr.Node) -> bool:
        """Whether a formula of the scheme's constants differs from step to step."""
        return bool(self.varying_in(node))

    def varying_in(self, node: expr.Node) -> tuple[str, ...]:
        """The constants in a formula, and in its lets, that differ from step to step."""
        lets = dict(self.scheme.lets)
        names = {inner.name for inner in node.walk() if isinstance(inner, expr.Constant)}
        constants = set(names)
        for name in names & set(lets):
            constants.update(self.varying_in(lets[name]))
        return tuple(name for name in self.varying if name in constants)

    def argument(self, name: str) -> str:
        """The argument for a constant, which is named as its attribute: `gamma`."""
        return self.constant(name).removeprefix("self.")

    def constant_code(self, name: str, code_of: Callable[[str], str]) -> Code:
        """The code of a constant in a step; a let that differs from step to step is expanded.

        Args:
            name: the name of a constant or let of the scheme, or of a let of the file.
            code_of: returns the code of a constant that differs from step to step.
        """
        if name in self.varying:
            return Code(code_of(name))
        value = dict(self.scheme.lets).get(name)
        if value is None or not self.varies(value):
            return Code(self.constant(name))
        return self.scalar_code(value, code_of)

    def step_parameter(self, name: str, step: str = "step") -> str:
        """The code of a parameter or map in a step, as `self.K[step]`."""
        definition = self.model.parameters.get(name) or self.model.maps[name]
        return f"self.{self.spec_name(name)}[{'0' if definition.shared else step}]"

    def parameter_value(self, name: str, stored: str) -> str:
        """The code of a parameter's value, given the code of the stored tensor."""
        parameter = self.model.parameters.get(name)
        return stored if parameter is None else parameter.kind.value(parameter.options, stored)

    def scalar_code(self, node: expr.Node, code_of: Callable[[str], str] = str) -> Code:
        """The code of a formula of the scheme's constants; `code_of` as in `constant_code`."""

        def leaf(inner: expr.Node) -> Code:
            if isinstance(inner, expr.Time):
                return Code(self.time)
            assert isinstance(inner, expr.Constant)
            return self.constant_code(inner.name, code_of)

        return Printer(leaf, str, {}, self.exponential)(node)

    @property
    def exponential(self) -> str:
        """The function for exp in code; `exponential` takes learned constants (tensors) too."""
        return "exponential" if self.varying else "math.exp"

    # right-hand sides

    def rate_method(self, node: expr.Rate, component: int) -> "RateMethod":
        """The method for one component of a right-hand side in a line of the scheme."""
        return self.rate_methods[
            self.components(self.for_equations[node.function].unknown)[component], node.function
        ]

    def rate_inputs(self, node: expr.Rate, component: int) -> list[tuple[expr.Node, int]]:
        """The arguments of `rate_method`: for each state a formula, and which component of it."""
        groups = self.model.discretisation.groups
        arguments = list(zip(self.for_equations[node.function].reads, node.arguments, strict=True))
        return [
            (value, groups[unknown].index(read))
            for read in self.rate_method(node, component).states
            for unknown, value in arguments
            if read in groups[unknown]
        ]

    def time_before(self, step: str) -> Code:
        """The code of the time before a step."""
        if "h" in self.varying:
            return Code(f"self.time_before({step})")
        return Code(f"{step} * self.h", PRODUCT)

    @cached_property
    def rate_methods(self) -> dict[tuple[State, str], "RateMethod"]:
        """The methods of the right-hand sides, by state and function of the `for` line."""
        return {key: self._method(*key, rate) for key, rate in self.model.rates.items()}

    def _method(self, state: State, function: str, rate: expr.Node) -> "RateMethod":
        """The method of a right-hand side, named after the state whose rate it gives."""
        states, model, part = states_read(rate), self.model, self.for_equations[function].summand
        used = {node.name for node in rate.walk() if isinstance(node, _PARAMETERS)}
        prefix = "" if part is None else f"{part[0] + 1}_"  # `rate_1_Y`; no state is called `1_Y`
        return RateMethod(
            name=f"rate_{prefix}{self.state(state)}",
            states=tuple(state for state in model.system if state in states),
            reads_input=reads_input(rate),
            reads_time=any(isinstance(node, expr.Time) for node in rate.walk()),
            params=tuple(name for name in (*model.parameters, *model.maps) if name in used),
        )


@dataclass(frozen=True)
class RateMethod:
    """The method of a right-hand side, and its arguments in order.

    Args:
        name: the name of the method; the parts of a split right-hand side are numbered.
        states: the states that it reads.
        reads_input: whether it reads the input.
        reads_time: whether it reads the time.
        params: the parameters and maps that it uses, in the order of declaration.
    """

    name: str
    states: tuple[State, ...]
    reads_input: bool
    reads_time: bool
    params: tuple[str, ...]


_PARAMETERS = (expr.LearnedOperator, expr.Bias, expr.LearnedScalar, expr.Map)
