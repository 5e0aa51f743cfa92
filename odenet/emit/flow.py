"""The class of a flow: its parameters, right-hand sides, and step."""

from odenet.analyse.facts import Facts
from odenet.emit import notation
from odenet.emit.attributes import class_attributes
from odenet.emit.constructors import initialiser
from odenet.emit.expressions import Code, Printer
from odenet.emit.layout import docstring, lay_out, tuple_code
from odenet.emit.shears import ShearWriter
from odenet.emit.spectrum import SpectrumWriter
from odenet.emit.step import StepWriter, unpack
from odenet.emit.step_constants import StepConstantWriter
from odenet.emit.step_printer import StepPrinter
from odenet.emit.symbols import RateMethod, SymbolTable
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import reads_input


class FlowWriter:
    """Writes the class of a flow.

    Args:
        facts: model, derivation and certificate of a file with a `discretise` line.
        name: the name of the class.
        space: number of spatial axes.
        summary: the lines of the docstring.
    """

    def __init__(self, facts: Facts, name: str, space: int, summary: list[str]):
        self.facts = facts
        self.model = facts.model
        self.derivation = facts.derivation
        self.certificate = facts.certificate
        self.name = name
        self.space = space
        self.summary = summary
        self.symbols = SymbolTable(self.model)
        self.step_writer = StepWriter(self.symbols, self.derivation)
        self.shear_writer = ShearWriter(self.symbols, self.derivation)

    def write(self) -> list[str]:
        """The lines below the imports: defaults, the class of the state and that of the flow."""
        fields = [f"    {slot}: Tensor" for slot in self.symbols.slots]
        state = [
            "class State(NamedTuple):",
            '    """The values stored between two steps."""',
            "",
            *fields,
        ]
        lines = [
            f"class {self.name}({'AdaptiveFlow' if self._is_adaptive else 'Flow'}):",
            *docstring(self.summary, 4),
            "",
            *class_attributes(self.facts, self.symbols),
            "",
        ]
        methods = [
            initialiser(self.symbols, self.derivation, self.space),
            *self._rate_methods(),
            self._initial(),
        ]
        solve = ["return State(*self.solve(state, step))"]
        body = solve if self._is_adaptive else self.step_writer.advance()
        methods.append(self._method("advance", "state, step=0", "One step forward.", body))
        if self.derivation.shears is not None:
            text = "One step backward: the inverse shears in reverse order."
            body = self.step_writer.retreat()
            methods.append(self._method("retreat", "state, step=0", text, body))
        methods += [self._readout(), self._field(), *self._certificate_methods()]
        constants = StepConstantWriter(self.symbols, self.derivation)
        varying = ", ".join(map(self.symbols.argument, self.symbols.varying))
        if divisors := constants.divisors():
            text = "The divisors of a step with these constants."
            methods.append(self._method("divisors", varying, text, divisors))
        if self.derivation.shears is not None:
            if obstacles := constants.no_inverse():
                text = "Why a step with these constants has no inverse; empty if it has one."
                methods.append(self._method("no_inverse", varying, text, obstacles))
            body = [f"return {tuple_code(self.shear_writer.shears())}"]
            methods += [self._method(*helper) for helper in self.shear_writer.helpers]
            text = "A step with these constants as shears" if varying else "The step as shears"
            methods.append(self._method("shears", varying, f"{text}, by which it is undone.", body))
        for method in methods:
            lines += [*method, ""]
        defaults = [part for line in constants.defaults() for part in lay_out(line, 0)]
        before_classes = [*defaults, ""] if defaults else []
        return [*before_classes, "", *state, "", "", *lines[:-1]]

    @property
    def _is_adaptive(self) -> bool:
        return self.model.discretisation.tolerance is not None

    # methods

    def _method(self, name: str, arguments: str, text: str, body: list[str]) -> list[str]:
        """The lines of a method with `text` as its docstring."""
        head = f"    def {name}(self{', ' if arguments else ''}{arguments}):"
        return [head, *docstring([text], 8)] + [part for line in body for part in lay_out(line, 8)]

    def _rate_methods(self) -> list[list[str]]:
        """The methods of the right-hand sides, each with its equation as docstring."""
        methods: list[list[str]] = []
        for key, rate in self.model.rates.items():
            state, function = key
            method = self.symbols.rate_methods[key]
            params = [self.symbols.spec_name(name) for name in method.params]
            order = 2 if self.model.dynamics.states[state.name] == 2 else 1
            left_side = expr.with_primes(self.model.spellings[state.name], order)
            text = f"{left_side} = {notation.source_text(rate.span)}."
            if self._decay_code(state):
                text = f"{left_side} = {notation.source_text(rate.span)}, without its decay."
            if self.symbols.for_equations[function].summand is not None:
                name = self.model.scheme.spellings[function]
                negative = isinstance(rate, expr.Sum) and [s for s, _ in rate.terms] == [-1]
                sign = "-" if negative else ""
                text = f"The part {name} of {left_side}: {sign}{notation.source_text(rate.span)}."
            if state.order == 0 and order == 2 and isinstance(rate, State):
                text = f"The speed {self.model.spellings[state.name]}'."
            code = self._dynamics_printer()(rate).text
            arguments = ", ".join([*self._inputs(method), *params])
            methods.append(self._method(method.name, arguments, text, [f"return {code}"]))
        return methods

    def _dynamics_printer(self, step: str | None = None) -> Printer:
        """A printer for formulas of the dynamics.

        Args:
            step: the code of the step's number, to take parameters from the flow's attributes;
                None where they are arguments of the method.
        """
        symbols = self.symbols

        def value_code(name: str) -> str:
            stored = symbols.spec_name(name) if step is None else symbols.step_parameter(name, step)
            return symbols.parameter_value(name, stored)

        def leaf(node: expr.Node) -> Code:
            match node:
                case State():
                    return Code(symbols.state(node))
                case expr.Input():
                    return Code("u")
                case expr.Zero():
                    return Code("torch.zeros(())")
                case expr.Constant():
                    return Code(symbols.let(node.name))
                case expr.Time():
                    return Code(symbols.time) if step is None else symbols.time_before(step)
                case expr.Bias() | expr.LearnedScalar():
                    return Code(value_code(node.name))
                case _:
                    raise AssertionError(node)

        return Printer(leaf, value_code, self.model.parameters)

    def _initial(self) -> list[str]:
        """The method `initial`; a parameter in an initial value has its value of the first step."""
        initial, symbols = self.model.dynamics.initial, self.symbols
        parts = [symbols.state(s) for s in self.model.system if isinstance(initial[s], expr.Split)]
        body: list[str] = []
        if len(parts) > 1:
            body.append(f"{', '.join(parts)} = split(u, {len(parts)})")
        body += [f"{name} = u" for name in parts if len(parts) == 1]
        template = parts[0] if parts else "u"
        printer = self._dynamics_printer(step="0")
        for state in self.model.system:
            value = initial[state]
            if isinstance(value, expr.Zero):
                body.append(f"{symbols.state(state)} = torch.zeros_like({template})")
            elif not isinstance(value, expr.Split):
                # A value that does not read the input has no axes but the channels.
                axes = "" if reads_input(value) else "torch.zeros_like(u[:, :1]) + "
                body.append(f"{symbols.state(state)} = {axes}{printer(value).text}")
        body += self._start_lines()
        text = "The state before the first step, from the flow's input."
        body.append(f"return State({', '.join(symbols.slots)})")
        return self._method("initial", "u", text, body)

    def _start_lines(self) -> list[str]:
        """The lines with the start values of the scheme: earlier slots and auxiliary unknowns."""
        lines: list[str] = []
        symbols = self.symbols
        current = {
            (unknown, 0, i): symbols.variable(unknown, 0, i)
            for unknown in self.model.scheme.unknowns
            for i in range(len(symbols.components(unknown)))
        }
        printer = StepPrinter(symbols, current, step="0")
        for slot, value in self.model.discretisation.starts:
            for i, state in enumerate(symbols.components(slot.name)):
                zeros = f"torch.zeros_like({symbols.state(state)})"
                code = zeros if isinstance(value, expr.Zero) else printer(value, i).text
                if _is_constant(value) or self._has_no_shape(value, i):
                    code = f"{zeros} + {code}"
                name = symbols.variable(slot.name, slot.offset, i)
                current[slot.name, slot.offset, i] = name
                lines.append(f"{name} = {code}")
        return lines

    def _has_no_shape(self, value: expr.Node, component: int) -> bool:
        """Whether a start value calls a right-hand side that reads no state or input: Z' = b."""
        rates = [node for node in value.walk() if isinstance(node, expr.Rate)]
        methods = [self.symbols.rate_method(rate, component) for rate in rates]
        return any(not method.states and not method.reads_input for method in methods)

    def _readout(self) -> list[str]:
        """The method `readout`; a parameter in the output has its value of the last step."""
        code = self._dynamics_printer(step="-1")(self.model.dynamics.output).text
        body = unpack(self.symbols.slots, [f"return {code}"])
        return self._method("readout", "state", "The output of the flow.", body)

    def _field(self) -> list[str]:
        """The method `field`: the right-hand sides at a state, independent of the scheme."""
        symbols = self.symbols
        first_order = self.model.scheme.patterns[0].order == 1
        rates: list[str] = []
        for state in self.model.system:
            rate = " + ".join(self._rate_call(*key) for key in self.model.rates if key[0] == state)
            decay = self._decay_code(state)
            subtracts_decay = decay and first_order
            rates.append(f"{rate} - {decay} * {symbols.state(state)}" if subtracts_decay else rate)
        suffix = "" if first_order or not self.model.scheme.decays else " without their decay"
        text = f"The right-hand sides of the equations{suffix}, one tensor each."
        body = [f"return {tuple_code(rates)}"]
        if self.model.first_time_node is None:
            return self._method("field", "state, step=0", text, unpack(symbols.slots, body))
        body.insert(0, f"{symbols.time} = {symbols.time_before('step').text} + since")
        text = text.removesuffix(".") + ", at `since` after the step began."
        return self._method("field", "state, step=0, since=0.0", text, unpack(symbols.slots, body))

    def _rate_call(self, state: State, function: str) -> str:
        """The call of a right-hand side at the state itself."""
        method = self.symbols.rate_methods[state, function]
        arguments = [*self._inputs(method), *map(self.symbols.step_parameter, method.params)]
        return f"self.{method.name}({', '.join(arguments)})"

    def _inputs(self, method: RateMethod) -> list[str]:
        """The variables that a right-hand side reads, at the state itself."""
        states = [self.symbols.state(read) for read in method.states]
        return [*states, *["u"] * method.reads_input, *[self.symbols.time] * method.reads_time]

    def _decay_code(self, state: State) -> str | None:
        """The attribute of the decay constant, if the scheme treats the decay separately."""
        groups = self.model.discretisation.groups
        pattern = next(p for p in self.model.scheme.patterns if state in groups[p.unknown])
        return self.symbols.constant(pattern.decay) if pattern.decay else None

    def _certificate_methods(self) -> list[list[str]]:
        """The methods that use the certificate at run time."""
        writer = SpectrumWriter(self.symbols, self._dynamics_printer(step="step"))
        methods: list[list[str]] = []
        energy = writer.energy(self.certificate)
        if energy is not None:
            assert self.certificate.energy is not None
            text = f"{self.certificate.energy.full_text}; per sample."
            methods.append(self._method("energy", "state, step=0", text, energy))
        conditions = writer.conditions(self.certificate)
        if conditions:
            text = "The assumptions of the proof about the weights, and whether they hold."
            methods.append(self._method("conditions", "", text, conditions))
        bound = writer.frequency_bound()
        if bound is not None:
            text = "A bound of the Jacobian's eigenvalues, from operator norms."
            methods.append(self._method("frequency_bound", "step=0", text, bound))
        return methods


def _is_constant(value: expr.Node) -> bool:
    """Whether a start value is a number, which has no shape."""
    shaped = (expr.Slot, expr.Rate, expr.MapCall, expr.Zero)
    return not any(isinstance(node, shaped) for node in value.walk())
