"""Rooted trees of a scheme's right-hand sides, and the exact solution as a series over them.

A value near the solution is a series over *coloured rooted trees* (B-series and P-series; Hairer,
Nørsett & Wanner, Solving Ordinary Differential Equations I, II.2, II.14, II.15): each tree is a
right-hand side F with, for every derivative taken of it, a subtree in one of its arguments. With
the weights chosen here, F(value) has on the tree [t1 … tk] the coefficient a(t1) … a(tk), where
a(t) are those of the value. Trees are linearly independent over all dynamics, so two values agree
up to h^p for every F exactly if their coefficients do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from odenet.derive.h_series import Number
from odenet.derive.remembered import remembered
from odenet.model.typed.scheme import Pattern

# (function, children), each child with the argument it is in; ("Y'", ()) is the velocity where
# Y'' is given. A plain name, the tree without a vertex, is the unknown itself.
Branches = tuple[tuple[int, "Tree"], ...]
Tree = tuple[str, Branches]
Key = str | Tree

PRIME = "'"


@dataclass
class Forest:
    """The trees of a scheme's pattern, and the exact solution of its equations.

    Args:
        patterns: the equations.
        factors: function -> a number it is multiplied by, where that is not 1: the exact solution
            is then that of Y' = factor F(Y).
    """

    patterns: tuple[Pattern, ...]
    factors: dict[str, Number] = field(default_factory=dict[str, Number])

    def __post_init__(self) -> None:
        self.of_function = {p.function: p for p in self.patterns}
        self.of_variable = {p.variable: p for p in self.patterns}

    # trees

    @remembered
    def weight(self, key: Key) -> int:
        """The power of time with which the exact solution contains a tree."""
        if isinstance(key, str):
            return 0
        function, children = key
        own = 1 if function.endswith(PRIME) else self.of_function[function].order
        return own + sum(self.weight(child) for _, child in children)

    def variable(self, tree: Tree) -> str:
        """The unknown whose exact solution contains a tree."""
        function = tree[0]
        if function.endswith(PRIME):
            return function[:-1]
        return self.of_function[function].variable

    @remembered
    def keys(self, weight: int) -> tuple[Key, ...]:
        """All trees of a weight; the unknowns themselves for weight 0."""
        return tuple(self._grow(weight) if weight else self.of_variable)

    def _grow(self, weight: int) -> Iterator[Tree]:
        if weight == 1:
            yield from ((p.variable + PRIME, ()) for p in self.of_variable.values() if p.order == 2)
        for pattern in self.patterns:
            room = weight - pattern.order
            if room >= 0:
                for children in self._children(self._branches(pattern, room), room):
                    yield (pattern.function, tuple(sorted(children)))

    def _branches(self, pattern: Pattern, room: int) -> list[tuple[int, Tree]]:
        """The subtrees that may hang on a right-hand side, with the argument they are in."""
        smaller = [tree for w in range(1, room + 1) for tree in self.keys(w)]
        return [
            (place, tree)
            for tree in smaller
            for place, name in enumerate(pattern.reads)
            if not isinstance(tree, str) and self.variable(tree) == name
        ]

    def _children(
        self, branches: list[tuple[int, Tree]], room: int
    ) -> Iterator[tuple[tuple[int, Tree], ...]]:
        """All multisets of branches of a total weight."""
        if not room:
            yield ()
        for index, branch in enumerate(branches):
            weight = self.weight(branch[1])
            if weight <= room:
                for rest in self._children(branches[index:], room - weight):
                    yield (branch, *rest)

    # the exact solution

    @remembered
    def exact(self, tree: Tree) -> Number:
        """The factor of time^weight with which the exact solution contains a tree."""
        function, children = tree
        found: Number = self.factors.get(function, Fraction(1))
        for _, child in children:
            found = found * self.exact(child)
        if not function.endswith(PRIME):
            for k in range(self.of_function[function].order):
                found = found / (self.weight(tree) - k)
        return found

    @remembered
    def moved(self, tree: Tree) -> dict[Key, Number]:
        """A tree seen from the solution one unit of time earlier.

        A function of the solution with coefficients a(t) has at time h later the coefficient
        Σ a(key) moved(tree)[key] h^(weight(tree) - weight(key)): the composition of two series
        (Hairer, Lubich & Wanner, Geometric Numerical Integration, III.1.4), where each key is the
        tree with some of its branches cut off.
        """
        name = self.variable(tree)
        found: dict[Key, Number] = {name: self.exact(tree)}
        if self.of_variable[name].order == 2:
            found[name + PRIME, ()] = self.exact(tree) * self.weight(tree)  # its velocity
        if not tree[0].endswith(PRIME):
            for key, factor in self._cut(tree).items():
                found[key] = found.get(key, Fraction(0)) + factor
        return found

    def _cut(self, tree: Tree) -> dict[Tree, Number]:
        """What stays of a tree with its root kept -> the product of what was cut off."""
        function, children = tree
        choices: list[list[tuple[Branches, Number]]] = []
        for place, child in children:
            # cut off, or kept in part; a velocity that is kept moves as well
            moved = self.moved(child).items()
            kept = [(((place, key),), f) for key, f in moved if not isinstance(key, str)]
            choices.append([((), self.exact(child)), *kept])
        found: dict[Tree, Number] = {}
        for parts in product(*choices):
            factor: Number = Fraction(1)
            for _, one in parts:
                factor = factor * one
            key = (function, tuple(sorted(part for kept, _ in parts for part in kept)))
            found[key] = found.get(key, Fraction(0)) + factor
        return found

    # in words

    def show(self, key: Key) -> str:
        """An elementary differential: `F'(F'(F))`, `F''(F, F)`, `F_Z(G)`."""
        if isinstance(key, str):
            return key
        function, children = key
        if not children:
            return function
        pattern = self.of_function[function]
        derivative = "'" * len(children)
        if len(pattern.reads) > 1:
            derivative = "_" + "".join(pattern.reads[place] for place, _ in children)
        return f"{function}{derivative}({', '.join(self.show(child) for _, child in children)})"


def moving(key: Key) -> bool:
    """Whether a tree has a leaf for the initial velocity, which is 0 unless given."""
    if isinstance(key, str):
        return False
    function, children = key
    return function.endswith(PRIME) or any(moving(child) for _, child in children)
