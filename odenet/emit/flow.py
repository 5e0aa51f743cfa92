"""The class of a flow: its parameters, right-hand sides, and step."""

from odenet.analyse.facts import Facts
from odenet.emit import notation
from odenet.emit.attributes import class_attributes
from odenet.emit.constructors import initialiser
from odenet.emit.expressions import Code, Printer
from odenet.emit.frame import Frame, RateMethod
from odenet.emit.layout import docstring, lay_out, tuple_of
from odenet.emit.shears import ShearWriter
from odenet.emit.spectrum import SpectrumWriter
from odenet.emit.step import StepWriter, unpack
from odenet.emit.step_constants import StepConstants
from odenet.emit.step_printer import StepPrinter
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.fitting.fit import reads, reads_input


class FlowWriter:
    """Writes the class of a flow.

    Args:
        facts: what is known of a file with steps.
        name: of the class.
        space: number of spatial axes.
        summary: lines for the docstring.
    """

    def __init__(self, facts: Facts, name: str, space: int, summary: list[str]):
        self.facts = facts
        self.model = facts.model
        self.derivation = facts.derivation
        self.certificate = facts.certificate
        self.name = name
        self.space = space
        self.summary = summary
        self.frame = Frame(self.model)
        self.step = StepWriter(self.frame, self.derivation)
        self.shears = ShearWriter(self.frame, self.derivation)

    def write(self) -> list[str]:
        """The lines below the imports: defaults, the state's class and the flow's."""
        fields = [f"    {slot}: Tensor" for slot in self.frame.slots]
        state = [
            "class State(NamedTuple):",
            '    """The values stored between two steps."""',
            "",
            *fields,
        ]
        lines = [
            f"class {self.name}({'AdaptiveFlow' if self._adaptive else 'Flow'}):",
            *docstring(self.summary, 4),
            "",
            *class_attributes(self.facts, self.frame),
            "",
        ]
        methods = [
            initialiser(self.frame, self.derivation, self.space),
            *self._rates(),
            self._initial(),
        ]
        one = ["return State(*self.solve(state, step))"] if self._adaptive else self.step.advance()
        methods.append(self._method("advance", "state, step=0", "One step forward.", one))
        if self.derivation.shears is not None:
            undone = "The same step undone: its shears backwards."
            methods.append(self._method("retreat", "state, step=0", undone, self.step.retreat()))
        methods += [self._readout(), self._field(), *self._spectrum()]
        constants = StepConstants(self.frame, self.derivation)
        varying = ", ".join(map(self.frame.argument, self.frame.varying))
        if divisors := constants.divisors():
            text = "What a step with these constants divides by."
            methods.append(self._method("divisors", varying, text, divisors))
        if self.derivation.shears is not None:
            if obstacles := constants.no_inverse():
                text = "Why a step with these constants is not undone; empty where it is."
                methods.append(self._method("no_inverse", varying, text, obstacles))
            body = [f"return {tuple_of(self.shears.shears())}"]
            methods += [self._method(*stage) for stage in self.shears.stages]
            text = "A step with these constants as shears" if varying else "The step as shears"
            methods.append(self._method("shears", varying, f"{text}, by which it is undone.", body))
        for method in methods:
            lines += [*method, ""]
        defaults = [part for line in constants.defaults() for part in lay_out(line, 0)]
        above = [*defaults, ""] if defaults else []
        return [*above, "", *state, "", "", *lines[:-1]]

    @property
    def _adaptive(self) -> bool:
        return self.model.discretisation.tolerance is not None

    # methods

    def _method(self, name: str, arguments: str, text: str, body: list[str]) -> list[str]:
        head = f"    def {name}(self{', ' if arguments else ''}{arguments}):"
        return [head, *docstring([text], 8)] + [part for line in body for part in lay_out(line, 8)]

    def _rates(self) -> list[list[str]]:
        found: list[list[str]] = []
        for key, rate in self.model.rates.items():
            state, function = key
            method = self.frame.rates[key]
            params = [self.frame.names("spec", name) for name in method.params]
            order = 2 if self.model.dynamics.states[state.name] == 2 else 1
            left = expr.derivative(self.model.spellings[state.name], order)
            text = f"{left} = {notation.written(rate.span)}."
            if self._decay(state):
                text = f"{left} = {notation.written(rate.span)}, without its decay."
            if self.frame.pattern[function].part is not None:
                name = self.model.scheme.spellings[function]
                negative = isinstance(rate, expr.Sum) and [s for s, _ in rate.terms] == [-1]
                sign = "-" if negative else ""
                text = f"The part {name} of {left}: {sign}{notation.written(rate.span)}."
            if state.order == 0 and order == 2 and isinstance(rate, State):
                text = f"The speed {self.model.spellings[state.name]}'."
            code = self._field_printer()(rate).text
            arguments = ", ".join([*self._reads(method), *params])
            found.append(self._method(method.name, arguments, text, [f"return {code}"]))
        return found

    def _field_printer(self, step: str | None = None) -> Printer:
        """Prints formulas of the dynamics; parameters are names, or attributes at a step."""
        frame = self.frame

        def param(name: str) -> str:
            stored = frame.names("spec", name) if step is None else frame.at_step(name, step)
            return frame.value_of(name, stored)

        def leaf(node: expr.Node) -> Code:
            match node:
                case State():
                    return Code(frame.state(node))
                case expr.Input():
                    return Code("u")
                case expr.Zero():
                    return Code("torch.zeros(())")
                case expr.Constant():
                    return Code(frame.let(node.name))
                case expr.Time():
                    return Code(frame.time) if step is None else frame.time_of(step)
                case expr.Bias() | expr.LearnedScalar():
                    return Code(param(node.name))
                case _:
                    raise AssertionError(node)

        return Printer(leaf, param, self.model.parameters)

    def _initial(self) -> list[str]:
        initial, frame = self.model.dynamics.initial, self.frame
        split = [
            frame.state(s) for s in self.model.system if isinstance(initial.get(s), expr.Split)
        ]
        body: list[str] = []
        if len(split) > 1:
            body.append(f"{', '.join(split)} = split(u, {len(split)})")
        body += [f"{name} = u" for name in split if len(split) == 1]
        model_tensor = split[0] if split else "u"
        printer = self._field_printer("0")
        for state in self.model.system:
            value = initial[state]
            if isinstance(value, expr.Zero):
                body.append(f"{frame.state(state)} = torch.zeros_like({model_tensor})")
            elif not isinstance(value, expr.Split):
                # What does not read the input has none of its axes but the channels.
                axes = "" if reads_input(value) else "torch.zeros_like(u[:, :1]) + "
                body.append(f"{frame.state(state)} = {axes}{printer(value).text}")
        body += self._starts()
        text = "The state before the first step, from the flow's input."
        return self._method(
            "initial", "u", text, [*body, f"return State({', '.join(frame.slots)})"]
        )

    def _starts(self) -> list[str]:
        """Values that only the discretisation has: history and auxiliary unknowns."""
        lines: list[str] = []
        frame = self.frame
        current = {
            (unknown, 0, i): frame.value(unknown, 0, i)
            for unknown in self.model.scheme.unknowns
            for i in range(len(frame.components(unknown)))
        }
        printer = StepPrinter(frame, current, "0")
        for slot, value in self.model.discretisation.starts:
            for i, state in enumerate(frame.components(slot.name)):
                like = f"torch.zeros_like({frame.state(state)})"
                code = like if isinstance(value, expr.Zero) else printer(value, i).text
                if _is_constant(value) or self._shapeless(value, i):
                    code = f"{like} + {code}"
                name = frame.value(slot.name, slot.offset, i)
                current[slot.name, slot.offset, i] = name
                lines.append(f"{name} = {code}")
        return lines

    def _shapeless(self, value: expr.Node, component: int) -> bool:
        """Whether a rate in a start value reads neither state nor input, as in Z' = b."""
        rates = [node for node in value.walk() if isinstance(node, expr.Rate)]
        read = [
            self.model.rates[
                self.frame.components(self.frame.pattern[r.function].variable)[component],
                r.function,
            ]
            for r in rates
        ]
        return any(not reads(rate) and not reads_input(rate) for rate in read)

    def _readout(self) -> list[str]:
        code = self._field_printer("-1")(self.model.dynamics.output).text
        text = "What the flow hands on."
        return self._method("readout", "state", text, unpack(self.frame.slots, [f"return {code}"]))

    def _field(self) -> list[str]:
        """The right-hand sides at a state, whatever the scheme."""
        frame = self.frame
        first = self.model.scheme.patterns[0].order == 1
        rates: list[str] = []
        for state in self.model.system:
            rate = " + ".join(self._call(*key) for key in self.model.rates if key[0] == state)
            decay = self._decay(state)
            rates.append(f"{rate} - {decay} * {frame.state(state)}" if decay and first else rate)
        left_out = "" if first or not self.model.scheme.decays else " without their decay"
        text = f"The right-hand sides of the equations{left_out}, one tensor each."
        body = [f"return {tuple_of(rates)}"]
        if self.model.time is None:
            return self._method("field", "state, step=0", text, unpack(frame.slots, body))
        body.insert(0, f"{frame.time} = {frame.time_of('step').text} + since")
        text = text.removesuffix(".") + ", at `since` after the step began."
        return self._method("field", "state, step=0, since=0.0", text, unpack(frame.slots, body))

    def _call(self, state: State, function: str) -> str:
        """A right-hand side at the state itself."""
        method = self.frame.rates[state, function]
        arguments = [*self._reads(method), *map(self.frame.at_step, method.params)]
        return f"self.{method.name}({', '.join(arguments)})"

    def _reads(self, method: RateMethod) -> list[str]:
        """The names of what a right-hand side reads, at the state itself."""
        states = [self.frame.state(read) for read in method.states]
        return [*states, *["u"] * method.input, *[self.frame.time] * method.time]

    def _decay(self, state: State) -> str | None:
        """The code of the decay that the scheme takes out of an equation."""
        groups = self.model.discretisation.groups
        pattern = next(p for p in self.model.scheme.patterns if state in groups[p.variable])
        return self.frame.constant(pattern.decay) if pattern.decay else None

    def _spectrum(self) -> list[list[str]]:
        """What the certificate gives at run time."""
        writer = SpectrumWriter(self.frame, self._field_printer("step"))
        found: list[list[str]] = []
        energy = writer.energy(self.certificate)
        if energy is not None:
            assert self.certificate.energy is not None
            text = f"{self.certificate.energy.explained}; per sample."
            found.append(self._method("energy", "state, step=0", text, energy))
        conditions = writer.conditions(self.certificate)
        if conditions:
            text = "What the proof assumes of the weights, and whether it holds for these."
            found.append(self._method("conditions", "", text, conditions))
        bound = writer.frequency_bound()
        if bound is not None:
            text = "A bound of the Jacobian's eigenvalues, from operator norms."
            found.append(self._method("frequency_bound", "step=0", text, bound))
        return found


def _is_constant(value: expr.Node) -> bool:
    """Whether a start value is the same at every input, so that it has no shape of its own."""
    fields = (expr.Slot, expr.Rate, expr.MapCall, expr.Zero)
    return not any(isinstance(node, fields) for node in value.walk())
