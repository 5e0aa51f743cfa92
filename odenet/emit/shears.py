"""The code of the method `shears`, and of helper methods that it names.

A shear is a substep `a ← α a + Σ β w + Σ β F(b)`; a step is a sequence of them, which the runtime
undoes one by one.
"""

from typing import NamedTuple

from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import Code
from odenet.emit.frame import Frame, RateMethod
from odenet.emit.layout import string_tuple, tuple_code
from odenet.emit.step_printer import StepPrinter, values_read
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot

TIMES = "times"  # the attribute of odenet.runtime.Flow that holds the time of each step
MethodUse = tuple[str, list[str], list[str]]  # name, the slots and the parameters it takes


class HelperMethod(NamedTuple):
    """A method of the flow that computes a formula of the registers, the stored values."""

    name: str
    arguments: str
    docstring: str
    body: list[str]


class ShearWriter:
    """Writes the shears.

    Args:
        frame: the names.
        derivation: the derivation of the scheme.

    Attributes:
        helpers: the methods that the shears name besides right-hand sides; set by `shears`.
    """

    def __init__(self, frame: Frame, derivation: Derivation):
        self.frame = frame
        self.derivation = derivation
        self.helpers: list[HelperMethod] = []

    def _coefficient(self, value: Coefficient) -> str:
        """The code of a coefficient; constants that differ by step are arguments of `shears`."""
        return _float_code(self.frame.scalar_code(scalar(value), self.frame.argument))

    def shears(self) -> list[str]:
        """The code of each shear; fills `helpers`."""
        return [
            self._shear(shear, i)
            for shear in self.derivation.shears or ()
            for i in range(len(self.frame.components(shear.target.name)))
        ]

    def _shear(self, shear: Shear, i: int) -> str:
        target = self.frame.variable(shear.target.name, shear.target.offset, i)
        parts = [f'"{target}"', self._coefficient(shear.scale)]
        if shear.exponents:
            text = "An exponent; the value is multiplied by its exponential."
            exponents = (self._exponent(node, i, text) for node in shear.exponents)
            parts.append(f"exponents={tuple_code(exponents)}")
        if shear.linear_terms:
            adds = (
                f'({self._coefficient(c)}, "{self.frame.variable(s.name, s.offset, i)}")'
                for c, s in shear.linear_terms
            )
            parts.append(f"adds={tuple_code(adds)}")
        if shear.rate_terms:
            parts.append(
                f"terms={tuple_code(self._term(c, rate, i) for c, rate in shear.rate_terms)}"
            )
        return f"Shear({', '.join(parts)})"

    def _exponent(self, node: expr.Node, i: int, docstring: str) -> str:
        return _term("1.0", self._helper(node, i, "exponent", docstring))

    def _term(self, coefficient: Coefficient, rate: expr.Rate | expr.MapCall, i: int) -> str:
        """The code of a coefficient times a right-hand side, whose arguments may need a helper."""
        if isinstance(rate, expr.Rate) and self._is_at_registers(rate, i):
            return _term(self._coefficient(coefficient), self._rate_method(rate, i))
        text = "A right-hand side at a value inside the step."
        return _term(self._coefficient(coefficient), self._helper(rate, i, "stage", text))

    def _is_at_registers(self, rate: expr.Rate, i: int) -> bool:
        """Whether a right-hand side is evaluated at registers, and at the time of the step."""
        timed = self.frame.rate_method(rate, i).reads_time
        at_slots = all(isinstance(argument, Slot) for argument in rate.arguments)
        return at_slots and (not timed or rate.time == expr.Time())

    def _rate_method(self, rate: expr.Rate, i: int) -> MethodUse:
        """The use of a right-hand side's method at values of the registers."""
        frame = self.frame
        method = frame.rate_method(rate, i)
        reads = [frame.variable(*value) for value in values_read(frame, rate, i)]
        reads += ["u"] * method.reads_input
        params = [TIMES] * method.reads_time
        params += [frame.names("spec", name) for name in method.params]
        return method.name, reads, params

    def _helper(self, node: expr.Node, i: int, kind: str, docstring: str) -> MethodUse:
        """The use of a helper for a formula of the registers; equal formulas share one."""
        frame = self.frame
        current = frame.registers()
        rates = [inner for inner in node.walk() if isinstance(inner, expr.Rate)]
        reads = list(dict.fromkeys(frame.variable(*value) for value in values_read(frame, node, i)))
        methods = [method for inner in rates for method in self._rate_methods(inner)]
        reads += ["u"] * any(method.reads_input for method in methods)
        used = {name for method in methods for name in method.params}
        used |= {inner.name for inner in node.walk() if isinstance(inner, expr.Map)}
        parameters = [n for n in (*frame.model.parameters, *frame.model.maps) if n in used]
        timed = [r for r in rates if any(method.reads_time for method in self._rate_methods(r))]
        formulas = [node, *(inner.time for inner in timed if inner.time is not None)]
        varying = {name for formula in formulas for name in frame.varying_in(formula)}
        names = [frame.argument(name) for name in frame.varying if name in varying]
        names += [frame.names("spec", name) for name in parameters]
        arguments = ", ".join([*reads, *[frame.time] * bool(timed), *names])
        params = [*[TIMES] * bool(timed), *names]
        body = [f"return {_HelperPrinter(frame, current)(node, i).text}"]
        for helper in self.helpers:
            if helper.body == body and helper.arguments == arguments:
                return helper.name, reads, params
        name = f"{kind}_{1 + sum(helper.docstring == docstring for helper in self.helpers)}"
        self.helpers.append(HelperMethod(name, arguments, docstring, body))
        return name, reads, params

    def _rate_methods(self, rate: expr.Rate) -> list[RateMethod]:
        """The methods of all components of a right-hand side."""
        states = self.frame.components(self.frame.patterns[rate.function].variable)
        return [self.frame.rates[state, rate.function] for state in states]


class _HelperPrinter(StepPrinter):
    """Prints a formula of the registers; what differs by step is an argument of the method."""

    def constant(self, name: str) -> str:
        """A constant by its own name."""
        return self.frame.argument(name)

    def parameter(self, name: str) -> str:
        """A parameter by its own name."""
        return self.frame.names("spec", name)


def _term(factor: str, method: MethodUse) -> str:
    name, reads, params = method
    return f"Term({factor}, self.{name}, {string_tuple(reads)}, {string_tuple(params)})"


def _float_code(code: Code) -> str:
    """A coefficient as a float literal or a formula."""
    return f"{code.text}.0" if code.text.lstrip("-").isdigit() else code.text
