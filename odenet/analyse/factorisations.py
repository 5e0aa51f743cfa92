"""All of s' = L φ(R s + b) as units, and the matrix M = R L.

Linear terms leave a choice. Each state can be one unit of the identity; and a word l pᵀ p that ends
in a square can be cut into R = p and L = l pᵀ, as in Y'' = -KᵀK Y. Every choice describes the same
dynamics, so whatever is proved with one of them is true.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations

from odenet.analyse.functions import affine_text
from odenet.analyse.gram import factored
from odenet.analyse.laurent import Signs
from odenet.analyse.operator_algebra import (
    IDENTITY,
    NOTHING,
    Diagonal,
    Operator,
    Word,
    added_up,
    adjoint,
    join,
    root,
    total,
    word_text,
)
from odenet.analyse.units import Row, System, Unit
from odenet.model.expressions.expr import State

Matrix = tuple[tuple[Operator, ...], ...]
Piece = tuple[State, State, Word]
Change = Callable[[Operator], Operator]

MOST_UNITS = 4  # of linear terms that are cut; the choices grow as 2^n


@dataclass(frozen=True)
class Arrangement:
    """Units and M = R L.

    Args:
        units: linear ones among them.
        matrix: M_ij = R_i L_j, operators from what unit j gives to what unit i reads.
        contracted: the unit that was replaced in a change of variables.
        absorbed: units whose slopes are in the matrix, by the name they have there.
        expanded: the unit v whose state was written as q times a new one, and q.
    """

    units: tuple[Unit, ...]
    matrix: Matrix
    contracted: int | None = None
    absorbed: tuple[tuple[str, Unit], ...] = ()
    expanded: tuple[int, Word] | None = None

    def block(self, group: list[int]) -> "Arrangement":
        """The arrangement of some of the units alone."""
        units = tuple(self.units[i] for i in group)
        matrix = tuple(tuple(self.matrix[i][j] for j in group) for i in group)
        changed = group.index(self.contracted) if self.contracted in group else None
        v, word = self.expanded or (None, ())
        expanded = (group.index(v), word) if v in group else None
        return Arrangement(units, matrix, changed, self.absorbed, expanded)


def arrangements(system: System, signs: Signs) -> Iterator[Arrangement]:
    """The ways to see a system as units, the plainest first."""
    pieces: dict[Piece, list[Word]] = {
        (i, j, word): halves
        for (i, j), operator in system.linear.items()
        for word, _ in operator.terms
        if (halves := tails(word, signs))
    }
    units = list(dict.fromkeys((j, p) for (_, j, _), halves in pieces.items() for p in halves))
    most = len(units) if len(units) <= MOST_UNITS else 1
    choices = chain.from_iterable(combinations(units, n) for n in range(1, most + 1))
    yield arrange(system)
    yield arrange(system, {(i, j, w): p[0] for (i, j, w), p in pieces.items() if i != j})
    for choice in [tuple(units), *choices]:
        fitting = {
            piece: [p for p in halves if (piece[1], p) in choice]
            for piece, halves in pieces.items()
        }
        yield arrange(system, {piece: found[0] for piece, found in fitting.items() if found})
    yield from _of_several_states(system, signs)
    yield from contractions(arrange(system))
    yield from expansions(arrange(system))


def _of_several_states(system: System, signs: Signs) -> Iterator[Arrangement]:
    """Linear units that read several states, as odenet/analyse/gram.py finds them."""
    found: dict[State, list[Word]] = {state: [] for state in system.states}
    for (_, j), operator in system.linear.items():
        found[j] += [p for word, _ in operator.terms for p in tails(word, signs)]
    longest = {
        state: sorted(dict.fromkeys(ps), key=len, reverse=True) for state, ps in found.items()
    }
    for mixed in (False, True):
        units, left = factored(system.linear, longest, mixed)
        if not any(len(row) > 1 for row, _ in units):
            continue
        linear = _linear_units(replace(system, linear=left), {})
        linear += [
            Unit(stages=(), row=row, column=column, text=affine_text(tuple(row.items()), {}))
            for row, column in units
        ]
        if added_up(product for unit in linear for product in unit.products) == system.linear:
            ordered = _in_order(system, linear)
            yield Arrangement(ordered, multiply(ordered), None, system.absorbed)


def tails(word: Word, signs: Signs) -> list[Word]:
    """The real p with word = l pᵀ p for some l, the longest first."""
    found = [root(word[start:]) for start in range(len(word))]
    return [pair[0] for pair in found if pair and pair[1] <= signs.assumed]


def arrange(system: System, cuts: Mapping[Piece, Word] | None = None) -> Arrangement:
    """Units for all terms.

    Args:
        system: the dynamics.
        cuts: linear words l pᵀ p with their p, to be cut into R = p and L = l pᵀ.
    """
    units = _in_order(system, _linear_units(system, cuts or {}))
    return Arrangement(units, multiply(units), None, system.absorbed)


def multiply(units: tuple[Unit, ...]) -> Matrix:
    """M = R L."""
    return tuple(tuple(_entry(one.row, two.column) for two in units) for one in units)


def _entry(row: Row, column: Row) -> Operator:
    return total(operator @ column[state] for state, operator in row.items() if state in column)


def _linear_units(system: System, cuts: Mapping[Piece, Word]) -> list[Unit]:
    columns: dict[tuple[State, Word], Row] = {}
    for (i, j), operator in system.linear.items():
        for word, scalar in operator.terms:
            row = cuts.get((i, j, word), ())
            left = word[: len(word) - _squared(row)]
            column = columns.setdefault((j, row), {})
            term = Operator.word(join(left, adjoint(row)), scalar)
            column[i] = column.get(i, NOTHING) + term
    return [
        Unit(stages=(), row={state: Operator.word(row)}, column=column, text=_argument(row, state))
        for (state, row), column in columns.items()
    ]


def _squared(half: Word) -> int:
    """The letters of pᵀ p: a diagonal that p begins with occurs in it once."""
    return 2 * len(half) - bool(half and isinstance(half[0], Diagonal))


def _argument(row: Word, state: State) -> str:
    return f"{word_text(row)} {state.written}" if row else state.written


def _in_order(system: System, linear: list[Unit]) -> tuple[Unit, ...]:
    """Units by the first equation they are in, linear ones first, then by what they read.

    The order of the text is not kept: no verdict may depend on it.
    """
    order = {state: i for i, state in enumerate(system.states)}

    def place(unit: Unit) -> tuple[int, bool, list[tuple[int, str]], str, str]:
        read = sorted((order[state], str(operator)) for state, operator in unit.row.items())
        first = min(order[state] for state in unit.column)
        return first, bool(unit.stages), read, str(unit.stages), unit.text

    return tuple(sorted([*linear, *system.units], key=place))


# --- changes of variables ------------------------------------------------------------------------


def contractions(plain: Arrangement) -> Iterator[Arrangement]:
    """A linear unit seen only through a word p, replaced by p of it: V by K V in Y'' = -σ(KᵀK Y).

    If M_kv = B_k p for all k, and M_vv is a number μ, then with T = p on unit v the matrices
    satisfy T M = M̂ T, where M̂ has B_k in column v and p M_vk in row v. The eigenvalues of D M are
    those of D M̂ on the range of T, and μ, which is in M̂ as well.
    """
    for v in _replaceable(plain):
        words = [w for k, row in enumerate(plain.matrix) if k != v for w, _ in row[v].terms]
        longest = max(words, key=len, default=())
        for start in range(1, len(longest)):
            suffix = longest[start:]
            if all(word[-len(suffix) :] == suffix for word in words):
                yield _contract(plain, v, suffix)


def _replaceable(plain: Arrangement) -> Iterator[int]:
    """The linear units of one state that read themselves by a number only."""
    for v, unit in enumerate(plain.units):
        is_state = not unit.stages and all(op == IDENTITY for op in unit.row.values())
        if is_state and plain.matrix[v][v].scalar is not None:
            yield v


def _contract(plain: Arrangement, v: int, suffix: Word) -> Arrangement:
    factor, unit = Operator.word(suffix), plain.units[v]
    kept = slice(-len(suffix))
    matrix = _changed(plain, v, lambda read: factor @ read, lambda moved: _cut(moved, kept))
    (state,) = unit.row
    seen = replace(unit, row={state: factor}, text=_argument(suffix, state))
    units = (*plain.units[:v], seen, *plain.units[v + 1 :])
    return Arrangement(units, matrix, v, plain.absorbed)


def _changed(plain: Arrangement, v: int, row: Change, column: Change) -> Matrix:
    """M with the entries of row v and of column v changed, but for the one in both."""
    return tuple(
        tuple(
            row(op) if i == v != j else column(op) if j == v != i else op
            for j, op in enumerate(line)
        )
        for i, line in enumerate(plain.matrix)
    )


def _cut(operator: Operator, kept: slice) -> Operator:
    """The operator with a part of each of its words."""
    return Operator.of({word[kept]: scalar for word, scalar in operator.terms})


def expansions(plain: Arrangement) -> Iterator[Arrangement]:
    """A linear unit moved only through a word q, seen as q of another state: V as Aᵀ W.

    If M_vk = q B_k for all k, and M_vv is a number μ, then with T = q on unit v the matrices
    satisfy M T = T M̂, where M̂ has B_k in row v and M_kv q in column v. The eigenvalues of D M are
    those of D M̂, from left eigenvectors x with Tᵀ x ≠ 0, and μ, which is in M̂ as well.
    """
    for v in _replaceable(plain):
        words = [w for k, op in enumerate(plain.matrix[v]) if k != v for w, _ in op.terms]
        longest = max(words, key=len, default=())
        for end in range(1, len(longest)):
            prefix = longest[:end]
            if all(word[:end] == prefix for word in words):
                yield _expand(plain, v, prefix)


def _expand(plain: Arrangement, v: int, prefix: Word) -> Arrangement:
    factor, kept = Operator.word(prefix), slice(len(prefix), None)
    matrix = _changed(plain, v, lambda read: _cut(read, kept), lambda moved: moved @ factor)
    return replace(plain, matrix=matrix, expanded=(v, prefix))
