"""Rooted trees of a scheme's right-hand sides, and the exact solution as a series over them.

A value near the solution is a series over *coloured rooted trees* (B-series and P-series; Hairer,
Nørsett & Wanner, Solving Ordinary Differential Equations I, II.2, II.14, II.15). The root of a tree
is a right-hand side F; for every derivative that is taken of F it has a subtree, in one of the
arguments of F. With the normalisation used here, F(value) has on the tree [t1 … tk] the coefficient
a(t1) … a(tk), where a(t) are the coefficients of the value. Trees are linearly independent over all
dynamics, so two values agree up to h^p for every F exactly if their coefficients do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from odenet.derive.cached_method import cached_method
from odenet.derive.h_series import Number
from odenet.model.typed.scheme import Pattern

# A rooted tree is (right-hand side, children), each child with the number of the argument it is in.
# For a second-order equation ("Y'", ()) is the initial velocity. The tree without a vertex, which
# belongs to the unknown itself, is just the name of the unknown.
Branches = tuple[tuple[int, "RootedTree"], ...]
RootedTree = tuple[str, Branches]
Tree = str | RootedTree

PRIME = "'"


@dataclass
class Forest:
    """The trees of a scheme's pattern, and the exact solution of its equations.

    Args:
        patterns: the right-hand sides of the equations.
        factors: right-hand side -> a factor, by default 1: the exact solution is that of
            Y' = factor F(Y).

    Attributes:
        pattern_of_function: name of a right-hand side -> its pattern.
        pattern_of_variable: unknown -> its pattern; of several summands the last one.
    """

    patterns: tuple[Pattern, ...]
    factors: dict[str, Number] = field(default_factory=dict[str, Number])

    def __post_init__(self) -> None:
        self.pattern_of_function = {p.function: p for p in self.patterns}
        self.pattern_of_variable = {p.unknown: p for p in self.patterns}

    # trees

    @cached_method
    def weight(self, tree: Tree) -> int:
        """The power of t with which the exact solution contains a tree; 0 without a vertex."""
        if isinstance(tree, str):
            return 0
        function, children = tree
        root_weight = 1 if function.endswith(PRIME) else self.pattern_of_function[function].order
        return root_weight + sum(self.weight(child) for _, child in children)

    def variable(self, tree: RootedTree) -> str:
        """The unknown whose exact solution contains a tree."""
        function = tree[0]
        if function.endswith(PRIME):
            return function[:-1]
        return self.pattern_of_function[function].unknown

    @cached_method
    def trees(self, weight: int) -> tuple[Tree, ...]:
        """All trees of a weight; the unknowns themselves for weight 0."""
        return tuple(self._trees_of_weight(weight) if weight else self.pattern_of_variable)

    def _trees_of_weight(self, weight: int) -> Iterator[RootedTree]:
        """The trees of a positive weight."""
        if weight == 1:
            patterns = self.pattern_of_variable.values()
            yield from ((p.unknown + PRIME, ()) for p in patterns if p.order == 2)
        for pattern in self.patterns:
            remaining = weight - pattern.order
            if remaining >= 0:
                for children in self._children(self._branches(pattern, remaining), remaining):
                    yield (pattern.function, tuple(sorted(children)))

    def _branches(self, pattern: Pattern, max_weight: int) -> list[tuple[int, RootedTree]]:
        """The subtrees that a right-hand side may have, each with the argument it is in."""
        smaller = [tree for w in range(1, max_weight + 1) for tree in self.trees(w)]
        return [
            (argument, tree)
            for tree in smaller
            for argument, name in enumerate(pattern.reads)
            if not isinstance(tree, str) and self.variable(tree) == name
        ]

    def _children(
        self, branches: list[tuple[int, RootedTree]], total_weight: int
    ) -> Iterator[tuple[tuple[int, RootedTree], ...]]:
        """All multisets of branches of a total weight."""
        if not total_weight:
            yield ()
        for index, branch in enumerate(branches):
            weight = self.weight(branch[1])
            if weight <= total_weight:
                for rest in self._children(branches[index:], total_weight - weight):
                    yield (branch, *rest)

    # the exact solution

    @cached_method
    def exact_coefficient(self, tree: RootedTree) -> Number:
        """The coefficient of t^weight with which the exact solution contains a tree."""
        function, children = tree
        found: Number = self.factors.get(function, Fraction(1))
        for _, child in children:
            found = found * self.exact_coefficient(child)
        if not function.endswith(PRIME):
            for k in range(self.pattern_of_function[function].order):
                found = found / (self.weight(tree) - k)
        return found

    @cached_method
    def time_shift(self, tree: RootedTree) -> dict[Tree, Number]:
        """How coefficients on smaller trees contribute to that on a tree when time advances.

        A function of the solution with coefficients a(t) has, a time h later, on a tree the
        coefficient Σ a(key) time_shift(tree)[key] h^(weight(tree) - weight(key)), the composition
        of two series (Hairer, Lubich & Wanner, Geometric Numerical Integration, III.1.4). The keys
        are the trees that remain if some branches are cut off.
        """
        name = self.variable(tree)
        found: dict[Tree, Number] = {name: self.exact_coefficient(tree)}
        if self.pattern_of_variable[name].order == 2:
            # its velocity
            found[name + PRIME, ()] = self.exact_coefficient(tree) * self.weight(tree)
        if not tree[0].endswith(PRIME):
            for pruned, factor in self._prunings(tree).items():
                found[pruned] = found.get(pruned, Fraction(0)) + factor
        return found

    def _prunings(self, tree: RootedTree) -> dict[RootedTree, Number]:
        """What remains of a tree if branches are cut off -> the product of their coefficients."""
        function, children = tree
        choices: list[list[tuple[Branches, Number]]] = []
        for argument, child in children:
            # cut off as a whole, or kept in part
            shifted = self.time_shift(child).items()
            kept = [(((argument, key),), f) for key, f in shifted if not isinstance(key, str)]
            choices.append([((), self.exact_coefficient(child)), *kept])
        found: dict[RootedTree, Number] = {}
        for parts in product(*choices):
            factor: Number = Fraction(1)
            for _, cut_factor in parts:
                factor = factor * cut_factor
            kept_tree = (function, tuple(sorted(part for kept, _ in parts for part in kept)))
            found[kept_tree] = found.get(kept_tree, Fraction(0)) + factor
        return found

    # text

    def show(self, tree: Tree) -> str:
        """The elementary differential of a tree: `F'(F'(F))`, `F''(F, F)`, `F_Z(G)`."""
        if isinstance(tree, str):
            return tree
        function, children = tree
        if not children:
            return function
        pattern = self.pattern_of_function[function]
        derivative = "'" * len(children)
        if len(pattern.reads) > 1:
            derivative = "_" + "".join(pattern.reads[argument] for argument, _ in children)
        return f"{function}{derivative}({', '.join(self.show(child) for _, child in children)})"


def has_velocity_leaf(tree: Tree) -> bool:
    """Whether a tree contains the initial velocity of a second-order equation as a leaf."""
    if isinstance(tree, str):
        return False
    function, children = tree
    return function.endswith(PRIME) or any(has_velocity_leaf(child) for _, child in children)
