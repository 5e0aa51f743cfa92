"""Code for scheme constants that differ from step to step: arguments, defaults and conditions."""

import math

from odenet.analyse.step_constants import invertible_range
from odenet.derive import Derivation
from odenet.derive.describe import conditions
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import number
from odenet.emit.layout import string_literal, tuple_code
from odenet.emit.symbols import SymbolTable
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.typed.step_constants import (
    Geometric,
    LearnedConstant,
    Listed,
    Ramp,
    StepConstant,
    StepNumber,
    Uniform,
)


class StepConstantWriter:
    """Writes the code for constants that differ from step to step: arguments and conditions.

    Args:
        symbols: the Python names of the step.
        derivation: the derivation of the scheme.
    """

    def __init__(self, symbols: SymbolTable, derivation: Derivation):
        self.symbols = symbols
        self.derivation = derivation

    def keyword(self, name: str) -> str:
        """The argument of `__init__` for a constant, with its default: `h=DEFAULT_H`."""
        constant = self.symbols.model.discretisation.varying[name]
        is_tuple = isinstance(constant, Listed)
        default = self._default(name, constant) if is_tuple else self._default_name(name)
        return f"{self.symbols.argument(name)}={default}"

    def defaults(self) -> list[str]:
        """The lines before the class that create default objects: `DEFAULT_H = Uniform(…)`."""
        varying = self.symbols.model.discretisation.varying
        return [
            f"{self._default_name(name)} = {self._default(name, constant)}"
            for name, constant in varying.items()
            if not isinstance(constant, Listed | StepNumber)  # a tuple, and not an argument
        ]

    def _default_name(self, name: str) -> str:
        """The name of the object that a constant is by default, such as `DEFAULT_H`."""
        wanted = f"DEFAULT_{self.symbols.argument(name).upper()}"
        return self.symbols.python_name("default", name, wanted)

    def attribute(self, name: str) -> str:
        """The line of `__init__` that sets the attribute, with a value for each step."""
        shown = string_literal(self.symbols.model.scheme.spellings.get(name, name))
        argument = self.symbols.argument(name)
        return f"{self.symbols.constant(name)} = per_step({shown}, {argument}, steps)"

    def _default(self, name: str, constant: StepConstant) -> str:
        """The code of the value that a constant has by default."""
        match constant:
            case Listed(values=values):
                return tuple_code(map(number, values))
            case Uniform(low=low, high=high, seed=seed):
                return f"Uniform({number(low)}, {number(high)}, seed={seed})"
            case Geometric(first=first, ratio=ratio):
                return f"Geometric({number(first)}, {number(ratio)})"
            case Ramp(start=start, end=end, epochs=epochs, steps=steps):
                length = f"steps={steps}" if epochs is None else f"epochs={number(epochs)}"
                return f"Ramp({number(start)}, {number(end)}, {length})"
            case LearnedConstant():
                return self._learned(name, constant)
            case _:
                raise TypeError(f"{type(constant).__name__} has no code")

    def _learned(self, name: str, constant: LearnedConstant) -> str:
        """The code of a learned constant: its first value and the range it is kept in."""
        low, high = invertible_range(self.symbols.model, self.derivation, name)
        parts = [number(constant.value), *(["shared=True"] if constant.shared else [])]
        parts += [f"low={number(low)}"] if math.isfinite(low) else []
        parts += [f"high={number(high)}"] if math.isfinite(high) else []
        return f"Learned({', '.join(parts)})"

    def divisors(self) -> list[str]:
        """The lines of the method `divisors`, a tuple; none where no divisor differs by step."""
        scheme = self.symbols.model.scheme
        values = [*(update.value for update in scheme.updates), *(v for _, v in scheme.lets)]
        nodes = [node for value in values for node in value.walk()]
        divisors = [node.denominator for node in nodes if isinstance(node, expr.Quotient)]
        divisors += [n.base for n in nodes if isinstance(n, expr.Power) and _is_divisor(n)]
        divisors = [d for d in divisors if self.symbols.varies(d)]
        codes = [self.symbols.scalar_code(d, self.symbols.argument).text for d in divisors]
        listed = ", ".join(dict.fromkeys(codes))
        return [f"return ({listed},)"] if codes else []

    def no_inverse(self) -> list[str]:
        """The lines of `no_inverse`; none where no condition differs by step."""
        lines: list[str] = []
        shown = conditions(self.derivation)
        for condition, text in zip(self.derivation.conditions, shown, strict=True):
            formula = scalar(condition)
            if self.symbols.varies(formula):
                why = f"{self.symbols.model.scheme.name} has an inverse only where {text}"
                code = self.symbols.scalar_code(formula, self.symbols.argument).text
                lines += [f"if {code} == 0:", f"    return {string_literal(why)}"]
        return [*lines, 'return ""'] if lines else []


def _is_divisor(power: expr.Power) -> bool:
    """Whether the exponent of a power is a negative number."""
    try:
        return evaluate(power.exponent, {}) < 0
    except EvaluationError:
        return False
