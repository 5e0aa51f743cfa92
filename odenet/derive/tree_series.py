"""Values of a step as series over coloured rooted trees (B-series, P-series).

A right-hand side F(a, b) expands around the solution into derivatives of F applied to further
right-hand sides: one *tree* per product of derivatives, with F at the root and a subtree for each
slot of the derivative (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, II.2,
II.14, II.15). With the weights chosen here, F(value) has on the tree [t1 … tk] the coefficient
a(t1) … a(tk), where a(t) are the coefficients of the value; the exact solution then follows by
integration. Trees are linearly independent over all dynamics, so two values agree up to h^p for
every F exactly if their coefficients do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from odenet.derive.h_series import NoSeries, Powers, Scales, add, multiply
from odenet.model import expr
from odenet.model.expr import Node, Rate, Slot, Stage
from odenet.model.scheme import Pattern, Scheme

# (function, children), each child with the argument it stands in; ("Y'", ()) is the velocity at the
# beginning. A plain name is the unknown itself.
Tree = tuple[str, tuple]
Series = dict[str | Tree, Powers]


def plus(one: Series, other: Series, sign: int = 1) -> Series:
    """The sum, or with sign -1 the difference."""
    total = dict(one)
    for key, value in other.items():
        found = add(total.pop(key, {}), value, sign)
        if found:
            total[key] = found
    return total


def _derivative(series: Series) -> Series:
    """By time, of a series in powers of it."""
    slopes = {key: {k - 1: a * k for k, a in powers.items() if k} for key, powers in series.items()}
    return {key: powers for key, powers in slopes.items() if powers}


def lowest(series: Series) -> int | None:
    """The lowest power of h with a coefficient, None for zero."""
    return min((min(powers) for powers in series.values()), default=None)


@dataclass
class Expansion:
    """Expands values of one scheme.

    Args:
        scheme: its text.
        scales: reads its scalars, up to a power of h.
        heaviest: the weight (order in time) of the heaviest trees that are kept.
    """

    scheme: Scheme
    scales: Scales
    heaviest: int

    def __post_init__(self) -> None:
        self._patterns = {p.function: p for p in self.scheme.patterns}
        # under `Y' = F(Y) - γ Y` a value moves along Y itself: one more kind of leaf, "Y·"
        self._decaying = {p.variable: p.decay and p.order == 1 for p in self.scheme.patterns}
        self._weights: dict[Tree, int] = {}
        self._exact = self._solve()

    # the exact solution

    def _solve(self) -> dict[str, Series]:
        """Each unknown at time h, by Picard iteration: every round makes one more power exact."""
        start: dict[str, Series] = {}
        for pattern in self.scheme.patterns:
            name = pattern.variable
            start[name] = {name: {0: Fraction(1)}}
            if pattern.order == 2:
                start[name][(f"{name}'", ())] = {1: Fraction(1)}
        found = start
        for weight in range(1, self.heaviest + 1):
            found = {
                p.variable: plus(start[p.variable], self._integral(p, found, weight))
                for p in self.scheme.patterns
            }
        return found

    def _integral(self, pattern: Pattern, values: Mapping[str, Series], heaviest: int) -> Series:
        """The right-hand side along values in time, integrated as often as its order says."""
        arguments = tuple(values[name] for name in pattern.reads)
        rate = self.apply(pattern, arguments, None, heaviest)
        if pattern.decay is not None:
            own = values[pattern.variable]
            damped = own if pattern.order == 1 else _derivative(own)
            factor = self.scales.read(expr.Constant(pattern.decay))
            rate = plus(rate, self._scaled(damped, factor), -1)
        for _ in range(pattern.order):
            rate = {t: {k + 1: a / (k + 1) for k, a in p.items()} for t, p in rate.items()}
        return rate

    def exact(self, name: str, offset: int) -> Series:
        """The solution at time offset * h."""
        return {
            key: {k: a * Fraction(offset) ** k for k, a in powers.items() if offset or not k}
            for key, powers in self._exact[name].items()
            if offset or 0 in powers
        }

    def velocity(self, name: str, offset: int) -> Series:
        """The solution's derivative at time offset * h."""
        return {
            key: {k: a * Fraction(offset) ** k for k, a in powers.items() if offset or not k}
            for key, powers in _derivative(self._exact[name]).items()
        }

    # values of the scheme

    def read(self, node: Node, values: Mapping[Node, Series]) -> Series:
        """A field expression as a series.

        Raises:
            NoSeries: it has none.
        """
        match node:
            case Slot() | Stage() if node in values:
                return values[node]
            case expr.Zero():
                return {}
            case expr.Sum():
                total: Series = {}
                for sign, term in node.terms:
                    total = plus(total, self.read(term, values), sign)
                return total
            case expr.Product():
                return self._scaled(self.read(node.right, values), self.scales.read(node.left))
            case expr.Quotient():
                one = expr.Number(Fraction(1), "1")
                factor = self.scales.read(expr.Quotient(one, node.denominator, span=node.span))
                return self._scaled(self.read(node.numerator, values), factor)
            case Rate():
                arguments = tuple(self.read(argument, values) for argument in node.arguments)
                return self.apply(self._patterns[node.function], arguments, node, self.heaviest)
        raise NoSeries("it is no sum of right-hand sides", node)

    def _scaled(self, series: Series, factor: Powers) -> Series:
        limit = self.scales.limit
        scaled = {key: multiply(powers, factor, limit) for key, powers in series.items()}
        return {key: powers for key, powers in scaled.items() if powers}

    def apply(
        self,
        pattern: Pattern,
        arguments: tuple[Series, ...],
        node: Rate | None,
        heaviest: int,
    ) -> Series:
        """A right-hand side at given values, up to trees of a weight.

        Raises:
            NoSeries: an argument is not the unknown that stands there plus something small.
        """
        branches: list[tuple[tuple, Powers, int]] = []
        for place, (name, argument) in enumerate(zip(pattern.reads, arguments, strict=True)):
            around = {key: p for key, p in argument.items() if isinstance(key, str)}
            if self._decaying.get(name) and around.get(name, {}).get(0) == 1:
                moved = {k: a for k, a in around[name].items() if k}
                around = {**around, name: {0: Fraction(1)}}
                leaf: Tree = (f"{name}·", ())
                argument = {**argument, name: {0: Fraction(1)}, **({leaf: moved} if moved else {})}
            if around != {name: {0: 1}}:
                where = node.arguments[place] if node else None
                raise NoSeries(f"this does not tend to {name} as h tends to 0", where)
            for tree, powers in argument.items():
                if isinstance(tree, str):
                    continue
                if min(powers) < self.weight(tree):
                    where = node.arguments[place] if node else None
                    raise NoSeries("this moves by more than a multiple of h in a step", where)
                branches.append(((place, tree), powers, self.weight(tree)))
        room = heaviest - pattern.order
        found: Series = {}
        for children, powers in self._choose(branches, room, {0: Fraction(1)}):
            found[(pattern.function, tuple(sorted(children)))] = powers
        return found

    def _choose(
        self, branches: list[tuple[tuple, Powers, int]], room: int, powers: Powers
    ) -> Iterator[tuple[tuple, Powers]]:
        """All multisets of branches not too heavy, with the products of their coefficients."""
        yield (), powers
        for index, (child, own, weight) in enumerate(branches):
            if weight <= room:
                product = multiply(powers, own, self.scales.limit)
                if product:
                    rest = branches[index:]
                    for children, total in self._choose(rest, room - weight, product):
                        yield (child, *children), total

    def weight(self, tree: Tree) -> int:
        """The power of time with which the exact solution contains a tree."""
        if tree not in self._weights:
            function, children = tree
            own = self._patterns[function].order if function in self._patterns else 1
            self._weights[tree] = own + sum(self.weight(child) for _, child in children)
        return self._weights[tree]
