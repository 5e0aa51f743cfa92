"""The shears of a step as data for the runtime, and the methods that they name."""

from typing import NamedTuple

from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import Code
from odenet.emit.frame import Frame, RateMethod
from odenet.emit.layout import strings, tuple_of
from odenet.emit.step_printer import StepPrinter, values_read
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot

TIMES = "times"  # the attribute of odenet.runtime.Flow that holds the time of each step
Method = tuple[str, list[str], list[str]]  # its name, the slots and the parameters it takes


class Stage(NamedTuple):
    """A method for a formula of the registers."""

    name: str
    arguments: str
    text: str
    lines: list[str]


class ShearWriter:
    """Writes the shears.

    Args:
        frame: the names.
        derivation: of the scheme.

    Attributes:
        stages: the methods that the shears need, apart from right-hand sides, once written.
    """

    def __init__(self, frame: Frame, derivation: Derivation):
        self.frame = frame
        self.derivation = derivation
        self.stages: list[Stage] = []

    def _argued(self, value: Coefficient) -> str:
        """A coefficient of the method `shears`, whose arguments are what differs by step."""
        return _float(self.frame.scalar(scalar(value), self.frame.argument))

    def shears(self) -> list[str]:
        """The shears as data, one item each; fills `stages` with the methods they need."""
        return [
            self._shear(shear, i)
            for shear in self.derivation.shears or ()
            for i in range(len(self.frame.components(shear.target.name)))
        ]

    def _shear(self, shear: Shear, i: int) -> str:
        target = self.frame.value(shear.target.name, shear.target.offset, i)
        parts = [f'"{target}"', self._argued(shear.scale)]
        if shear.exponents:
            text = "What a value is multiplied by the exponential of."
            inside = (self._exponent(node, i, text) for node in shear.exponents)
            parts.append(f"exponents={tuple_of(inside)}")
        if shear.adds:
            adds = (
                f'({self._argued(c)}, "{self.frame.value(s.name, s.offset, i)}")'
                for c, s in shear.adds
            )
            parts.append(f"adds={tuple_of(adds)}")
        if shear.rates:
            parts.append(f"terms={tuple_of(self._term(c, rate, i) for c, rate in shear.rates)}")
        return f"Shear({', '.join(parts)})"

    def _exponent(self, node: expr.Node, i: int, text: str) -> str:
        return _term("1.0", self._stage(node, i, "exponent", text))

    def _term(self, coefficient: Coefficient, rate: expr.Rate | expr.MapCall, i: int) -> str:
        """A right-hand side with its factor; its own method where an argument is a formula."""
        if isinstance(rate, expr.Rate) and self._is_plain(rate, i):
            return _term(self._argued(coefficient), self._plain(rate, i))
        text = "A right-hand side at a value inside the step."
        return _term(self._argued(coefficient), self._stage(rate, i, "stage", text))

    def _is_plain(self, rate: expr.Rate, i: int) -> bool:
        """Whether a right-hand side is evaluated at registers, and at the time of the step."""
        timed = self.frame.rate_method(rate, i).time
        slots = all(isinstance(argument, Slot) for argument in rate.arguments)
        return slots and (not timed or rate.time == expr.Time())

    def _plain(self, rate: expr.Rate, i: int) -> Method:
        """The method of a right-hand side, at values of the registers."""
        frame = self.frame
        method = frame.rate_method(rate, i)
        reads = [frame.value(*value) for value in values_read(frame, rate, i)]
        reads += ["u"] * method.input
        params = [TIMES] * method.time
        params += [frame.names("spec", name) for name in method.params]
        return method.name, reads, params

    def _stage(self, node: expr.Node, i: int, kind: str, text: str) -> Method:
        """A method for a formula of the registers, one for all that are the same."""
        frame = self.frame
        current = frame.registers()
        rates = [inner for inner in node.walk() if isinstance(inner, expr.Rate)]
        reads = list(dict.fromkeys(frame.value(*value) for value in values_read(frame, node, i)))
        methods = [method for inner in rates for method in self._methods(inner)]
        reads += ["u"] * any(method.input for method in methods)
        used = {name for method in methods for name in method.params}
        used |= {inner.name for inner in node.walk() if isinstance(inner, expr.Map)}
        learned = [n for n in (*frame.model.parameters, *frame.model.maps) if n in used]
        timed = [r for r in rates if any(method.time for method in self._methods(r))]
        formulas = [node, *(inner.time for inner in timed if inner.time is not None)]
        varying = {name for formula in formulas for name in frame.varying_in(formula)}
        named = [frame.argument(name) for name in frame.varying if name in varying]
        named += [frame.names("spec", name) for name in learned]
        arguments = ", ".join([*reads, *[frame.time] * bool(timed), *named])
        params = [*[TIMES] * bool(timed), *named]
        lines = [f"return {_StagePrinter(frame, current)(node, i).text}"]
        for stage in self.stages:
            if stage.lines == lines and stage.arguments == arguments:
                return stage.name, reads, params
        name = f"{kind}_{1 + sum(stage.text == text for stage in self.stages)}"
        self.stages.append(Stage(name, arguments, text, lines))
        return name, reads, params

    def _methods(self, rate: expr.Rate) -> list[RateMethod]:
        """The methods of all components of a right-hand side."""
        states = self.frame.components(self.frame.pattern[rate.function].variable)
        return [self.frame.rates[state, rate.function] for state in states]


class _StagePrinter(StepPrinter):
    """Prints a formula of the registers where all that differs by step is an argument."""

    def constant(self, name: str) -> str:
        """A constant by its own name."""
        return self.frame.argument(name)

    def param(self, name: str) -> str:
        """A parameter by its own name."""
        return self.frame.names("spec", name)


def _term(factor: str, method: Method) -> str:
    name, reads, params = method
    return f"Term({factor}, self.{name}, {strings(reads)}, {strings(params)})"


def _float(code: Code) -> str:
    """A coefficient as a float literal or a formula."""
    return f"{code.text}.0" if code.text.lstrip("-").isdigit() else code.text
