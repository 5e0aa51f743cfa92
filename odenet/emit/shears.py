"""The code of a flow's method `shears`, and of the helper methods that it refers to.

A shear is a substep `a ← α a + Σ β w + Σ β F(b)`. Here a, w and b are registers, the variables that
hold values between two steps, and F is a right-hand side (`expr.Rate`). A step is a sequence of
shears, which the runtime undoes one by one.
"""

from typing import NamedTuple

from odenet.derive import Coefficient, Derivation, Shear
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import Code
from odenet.emit.layout import string_tuple, tuple_code
from odenet.emit.step_printer import StepPrinter, values_read
from odenet.emit.symbols import RateMethod, SymbolTable
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot

TIMES = "times"  # the attribute of odenet.runtime.Flow that holds the time of each step


class MethodUse(NamedTuple):
    """The arguments for which a shear calls a method: registers, then the flow's attributes."""

    name: str
    registers: list[str]
    attributes: list[str]


class HelperMethod(NamedTuple):
    """A method of the flow that computes a formula of the registers."""

    name: str
    arguments: str
    docstring: str
    body: list[str]


class ShearWriter:
    """Writes the shears, each once for every component `i` (state) of the unknown it changes.

    Args:
        symbols: the Python names of the step.
        derivation: the derivation of the scheme.

    Attributes:
        helpers: the methods that shears use, in addition to right-hand sides; filled by `shears`.
    """

    def __init__(self, symbols: SymbolTable, derivation: Derivation):
        self.symbols = symbols
        self.derivation = derivation
        self.helpers: list[HelperMethod] = []

    def _coefficient(self, value: Coefficient) -> str:
        """A coefficient's code; a constant that differs by step is an argument of `shears`."""
        return _float_code(self.symbols.scalar_code(scalar(value), self.symbols.argument))

    def shears(self) -> list[str]:
        """The code of each shear; fills `helpers`."""
        return [
            self._shear_code(shear, i)
            for shear in self.derivation.shears or ()
            for i in range(len(self.symbols.components(shear.target.name)))
        ]

    def _shear_code(self, shear: Shear, i: int) -> str:
        """The code of a shear of component `i` of its target, `Shear("Y", 1.0, terms=…)`."""
        target = self.symbols.variable(shear.target.name, shear.target.offset, i)
        parts = [f'"{target}"', self._coefficient(shear.scale)]
        if shear.exponents:
            text = "An exponent; the value is multiplied by its exponential."
            helpers = (self._helper_use(e, i, "exponent", text) for e in shear.exponents)
            parts.append(f"exponents={tuple_code(_term_code('1.0', use) for use in helpers)}")
        if shear.linear_terms:
            adds = (
                f'({self._coefficient(c)}, "{self.symbols.variable(s.name, s.offset, i)}")'
                for c, s in shear.linear_terms
            )
            parts.append(f"adds={tuple_code(adds)}")
        if shear.rate_terms:
            terms = (self._rate_term(c, rate, i) for c, rate in shear.rate_terms)
            parts.append(f"terms={tuple_code(terms)}")
        return f"Shear({', '.join(parts)})"

    def _rate_term(self, coefficient: Coefficient, rate: expr.Rate | expr.MapCall, i: int) -> str:
        """The code of a coefficient times a right-hand side, whose arguments may need a helper."""
        if isinstance(rate, expr.Rate) and self._is_at_registers(rate, i):
            return _term_code(self._coefficient(coefficient), self._rate_use(rate, i))
        text = "A right-hand side at a value inside the step."
        return _term_code(self._coefficient(coefficient), self._helper_use(rate, i, "stage", text))

    def _is_at_registers(self, rate: expr.Rate, i: int) -> bool:
        """Whether a right-hand side is evaluated at registers, and at the time of the step."""
        reads_time = self.symbols.rate_method(rate, i).reads_time
        at_slots = all(isinstance(argument, Slot) for argument in rate.arguments)
        return at_slots and (not reads_time or rate.time == expr.Time())

    def _rate_use(self, rate: expr.Rate, i: int) -> MethodUse:
        """The use of a right-hand side's method at values of the registers."""
        symbols = self.symbols
        method = symbols.rate_method(rate, i)
        registers = [symbols.variable(*value) for value in values_read(symbols, rate, i)]
        registers += ["u"] * method.reads_input
        attributes = [TIMES] * method.reads_time
        attributes += [symbols.spec_name(name) for name in method.params]
        return MethodUse(method.name, registers, attributes)

    def _helper_use(self, node: expr.Node, i: int, prefix: str, docstring: str) -> MethodUse:
        """The use of a helper for a formula of the registers; equal formulas share a helper.

        The helper's name is `prefix` and a number.
        """
        symbols = self.symbols
        rates = [inner for inner in node.walk() if isinstance(inner, expr.Rate)]
        registers = [symbols.variable(*value) for value in values_read(symbols, node, i)]
        registers = list(dict.fromkeys(registers))
        methods = [method for rate in rates for method in self._rate_methods(rate)]
        registers += ["u"] * any(method.reads_input for method in methods)
        used = {name for method in methods for name in method.params}
        used |= {inner.name for inner in node.walk() if isinstance(inner, expr.Map)}
        parameters = [n for n in (*symbols.model.parameters, *symbols.model.maps) if n in used]
        timed = [r for r in rates if any(method.reads_time for method in self._rate_methods(r))]
        formulas = [node, *(rate.time for rate in timed if rate.time is not None)]
        varying = {name for formula in formulas for name in symbols.varying_in(formula)}
        attributes = [symbols.argument(name) for name in symbols.varying if name in varying]
        attributes += [symbols.spec_name(name) for name in parameters]
        arguments = ", ".join([*registers, *[symbols.time] * bool(timed), *attributes])
        attributes = [*[TIMES] * bool(timed), *attributes]
        body = [f"return {_HelperPrinter(symbols, symbols.registers())(node, i).text}"]
        for helper in self.helpers:
            if helper.body == body and helper.arguments == arguments:
                return MethodUse(helper.name, registers, attributes)
        # helpers of one prefix have one docstring, and are numbered together
        name = f"{prefix}_{1 + sum(helper.docstring == docstring for helper in self.helpers)}"
        self.helpers.append(HelperMethod(name, arguments, docstring, body))
        return MethodUse(name, registers, attributes)

    def _rate_methods(self, rate: expr.Rate) -> list[RateMethod]:
        """The methods of all components of a right-hand side."""
        states = self.symbols.components(self.symbols.for_equations[rate.function].unknown)
        return [self.symbols.rate_methods[state, rate.function] for state in states]


class _HelperPrinter(StepPrinter):
    """Prints a formula of the registers; values that differ by step are arguments of the method."""

    def constant(self, name: str) -> str:
        """The argument for a constant that differs from step to step."""
        return self.symbols.argument(name)

    def parameter(self, name: str) -> str:
        """The argument for a parameter or map."""
        return self.symbols.spec_name(name)


def _term_code(factor: str, use: MethodUse) -> str:
    """The code of a factor times the value of a method: `Term(self.h, self.rate_Y, ("Z",), …)`."""
    arguments = f"{string_tuple(use.registers)}, {string_tuple(use.attributes)}"
    return f"Term({factor}, self.{use.name}, {arguments})"


def _float_code(code: Code) -> str:
    """The text of a coefficient's code; an integer becomes a float literal."""
    return f"{code.text}.0" if code.text.lstrip("-").isdigit() else code.text
