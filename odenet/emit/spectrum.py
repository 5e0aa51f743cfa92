"""Code of the methods `energy`, `conditions` and `frequency_bound`, from the certificate."""

from odenet.analyse import Certificate, EnergyTerm
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import (
    matching_test_equation,
    scheme_stability,
    tested_certificate,
)
from odenet.derive import AxisStability
from odenet.emit.expressions import PRODUCT, SIGN, SUM, Code, Printer, keywords, number
from odenet.emit.step import unpack
from odenet.emit.symbols import SymbolTable
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import evaluate
from odenet.model.tables.activations import ACTIVATIONS

ZERO = Code("0.0")


def stability_limit(facts: Facts) -> float | None:
    """The largest hω at which the scheme is stable on the certified axis; None if unlimited."""
    axis = certified_axis(facts)
    return axis.limit if axis is not None and 0 < axis.limit < float("inf") else None


def certified_axis(facts: Facts) -> AxisStability | None:
    """The stability on the axis that the spectrum is proved to lie on; None without a proof."""
    model = facts.model
    stability = scheme_stability(model, facts.derivation)
    if isinstance(stability, str):
        return None
    groups = model.discretisation.groups
    tested = matching_test_equation(stability, model.scheme, model.dynamics, groups)
    if tested is None:
        return None
    certificate = tested_certificate(model, facts.certificate, model.scheme, groups)
    if certificate.verdict == "imaginary":
        return tested.imaginary_axis
    return tested.real_axis if certificate.verdict == "real" else None


class SpectrumWriter:
    """Writes `energy`, `conditions` and `frequency_bound`.

    Args:
        symbols: the Python names of the step.
        printer: prints formulas of the dynamics with a step's parameters as attributes.

    Attributes:
        norms: the code of an operator's norm -> the variable that it is assigned to.
    """

    def __init__(self, symbols: SymbolTable, printer: Printer):
        self.symbols = symbols
        self.model = symbols.model
        self.printer = printer
        self.norms: dict[str, str] = {}

    # the energy

    def energy(self, certificate: Certificate) -> list[str] | None:
        """The lines of `energy`; None where the certificate gives none, or no code for it."""
        energy = certificate.energy
        if energy is None or not energy.terms:
            return None
        lines = self._speed_lines(energy.terms)
        if lines is None:
            return None
        sums: list[str] = []
        for n, term in enumerate(energy.terms, start=1):
            argument = self.printer(term.argument).text
            if not argument.isidentifier():
                lines.append(f"a{n} = {argument}")
                argument = f"a{n}"
            lines.append(f"e{n} = {self._density(term, argument)}")
            weight = self.printer(term.coefficient)
            factor = "" if weight.text == "1" else f"{weight.within(PRODUCT)} * "
            sums.append(f"{factor}e{n}.flatten(1).sum(1)")
        lines.append(f"return {' + '.join(sums)}")
        return unpack(self.symbols.slots, lines)

    def _density(self, term: EnergyTerm, argument: str) -> str:
        """The code of a term's energy density: the primitive of its activation, elementwise."""
        row = ACTIVATIONS[term.activation.name]
        constants = [self.printer(constant).text for constant in term.activation.constants]
        code = Code(row.primitive.format(*constants, x=argument), SUM)
        factors = [self.printer.value_code(d) for d, power in term.diagonal for _ in range(power)]
        return " * ".join([*factors, code.within(PRODUCT)]) if factors else code.text

    def _speed_lines(self, terms: tuple[EnergyTerm, ...]) -> list[str] | None:
        """The lines that compute speeds which are not stored, as differences of stored values."""
        nodes = (node for term in terms for node in term.argument.walk())
        states = {node for node in nodes if isinstance(node, State)}
        lines: list[str] = []
        for state in sorted(states - set(self.model.system), key=str):
            name = self.symbols.state(State(state.name))
            steps_differ = "h" in self.symbols.varying  # the h of the step before is not known
            if f"{name}_prev" not in self.symbols.slots or state.order != 1 or steps_differ:
                return None
            lines.append(f"{self.symbols.state(state)} = ({name} - {name}_prev) / self.h")
        return lines

    # the conditions

    def conditions(self, certificate: Certificate) -> list[str]:
        """The lines of `conditions`; empty if the verdict needs none."""
        conditions: list[str] = []
        for assumption in certificate.assumptions:
            if assumption.kind not in ("sign", "gain") or assumption.by_construction:
                continue
            stored = f"self.{self.symbols.spec_name(assumption.subject)}"
            parameter = self.model.parameters[assumption.subject]
            # between knots it is linear, so that the knots decide
            values = f"{stored}.knots" if parameter.knots else stored
            test = f"bool(({values} >= 0).all())"
            if parameter.is_module:
                test = f"all(bool((layer.weight >= 0).all()) for layer in {stored})"
            conditions.append(f'("{assumption.text}", {test})')
        return [f"return [{', '.join(conditions)}]"] if conditions else []

    # the bound of the spectral radius

    def frequency_bound(self) -> list[str] | None:
        """The lines of `frequency_bound`; None where a map hides the Jacobian.

        The norm of each block of the Jacobian is bounded. The spectral radius of the small matrix
        of these bounds is a bound on the Jacobian's spectral radius.
        """
        system = self.model.dynamics.system(1)
        try:
            rows = [[self._slope(rate, state) for state in system] for rate in system.values()]
        except _Unbounded:
            return None
        matrix = [f"[{', '.join(code.text for code in row)}]" for row in rows]
        norms = [f"{name} = {code}" for code, name in self.norms.items()]
        return [*norms, f"return spectral_radius([{', '.join(matrix)}])"]

    def _slope(self, node: expr.Node, state: State) -> Code:
        """The code of a bound on the norm of a formula's derivative with respect to a state.

        Raises:
            _Unbounded: if no bound is known.
        """
        match node:
            case State():
                return Code("1.0") if node == state else ZERO
            case expr.Input() | expr.Bias() | expr.Zero():
                return ZERO
            case expr.Sum():
                return _sum([self._slope(term, state) for _, term in node.terms])
            case expr.Product():
                return _product(self._abs(node.left), self._slope(node.right, state))
            case expr.Quotient():
                inner = self._slope(node.numerator, state)
                return _product(Code("1") / self._abs(node.denominator), inner)
            case expr.Apply():
                inner = self._slope(node.operand, state)
                return ZERO if inner == ZERO else _product(self._norm(node.operator), inner)
            case expr.Activate():
                constants = [evaluate(c, self.model.constants) for c in node.activation.constants]
                slope = ACTIVATIONS[node.activation.name].slope(*constants)
                return _product(Code(number(slope)), self._slope(node.operand, state))
            case _:
                raise _Unbounded

    def _abs(self, node: expr.Node) -> Code:
        """The code of the absolute value of a scalar."""
        if isinstance(node, expr.Number) and node.value >= 0:
            return self.printer(node)
        return Code(f"abs({self.printer(node).text})")

    def _norm(self, operator: expr.Node) -> Code:
        """A bound of an operator's norm, by power iteration on each kernel in it."""
        match operator:
            case expr.Identity():
                return Code("1.0")
            case expr.LearnedOperator(name) | expr.Adjoint(expr.LearnedOperator(name)):
                return self._kernel_norm(name, self.printer.value_code(name))
            case expr.Compose():
                return _product(self._norm(operator.left), self._norm(operator.right))
            case expr.Product():
                return _product(self._abs(operator.left), self._norm(operator.right))
            case expr.Quotient():
                return self._norm(operator.numerator) / self._abs(operator.denominator)
            case expr.Sum():
                return self._sum_norm(operator)
            case _:
                raise AssertionError(operator)

    def _sum_norm(self, operator: expr.Sum) -> Code:
        """A bound of the norm of a sum: that of its assembled kernel, or else the sum of bounds."""
        names = self.printer.summable_kernels(operator)
        if names:
            kernel = self.printer.assemble(operator, self.model.parameters[names[0]]).text
            label = operator.span.text if operator.span else " ".join(names)
            return self._kernel_norm(names[0], kernel, "".join(label.split()))
        return _sum([self._norm(term) for _, term in operator.terms])

    def _kernel_norm(self, name: str, kernel: str, label: str = "") -> Code:
        """The variable of a kernel's norm, which is computed once."""
        parameter = self.model.parameters[name]
        if not parameter.operator.norm_bound:
            raise _Unbounded
        options = keywords(parameter, self.symbols.step_parameter(name))
        shown_label = (label or name).replace('"', "")
        code = parameter.operator.norm_bound.format(K=kernel, label=shown_label, keywords=options)
        return Code(self.norms.setdefault(code, f"norm_{len(self.norms) + 1}"))


class _Unbounded(Exception):
    """No bound is known for the derivative of a formula, or the norm of an operator."""


def _sum(codes: list[Code]) -> Code:
    """The sum of bounds, without those that are zero."""
    parts = [code for code in codes if code != ZERO]
    if len(parts) < 2:
        return parts[0] if parts else ZERO
    return Code(" + ".join(code.within(PRODUCT) for code in parts), SUM)


def _product(left: Code, right: Code) -> Code:
    """The product of two bounds, without factors of 1; zero if one of them is."""
    if ZERO in (left, right):
        return ZERO
    factors = [c for c in (left, right) if c.text not in ("1", "1.0")]
    if not factors:
        return Code("1.0")
    text = " * ".join(f.within(PRODUCT if i == 0 else SIGN) for i, f in enumerate(factors))
    return Code(text, PRODUCT if len(factors) > 1 else factors[0].precedence)
