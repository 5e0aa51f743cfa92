"""The ways to write the dynamics as s' = L φ(R s + b), linear terms included, and M = R L.

The nonzero eigenvalues of the Jacobian J = L D R, D = diag(φ'), are those of D M. Nonlinear terms
are units φ as they are. Linear terms can be factored in several ways: each state can be a unit with
φ = identity and R = I; and a word (product of operators) l pᵀ p can be cut into R = p and L = l pᵀ,
as in Y'' = -KᵀK Y. All factorisations describe the same dynamics: a proof with one is enough.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations

from odenet.analyse.functions import affine_text
from odenet.analyse.laurent import Signs
from odenet.analyse.multistate_units import multistate_units
from odenet.analyse.operator_algebra import (
    IDENTITY,
    ZERO_OPERATOR,
    Diagonal,
    Operator,
    Word,
    operator_sum,
    sum_by_key,
    word_adjoint,
    word_product,
    word_root,
    word_text,
)
from odenet.analyse.units import OperatorsByState, System, Unit
from odenet.model.expressions.expr import State

Matrix = tuple[tuple[Operator, ...], ...]
LinearTerm = tuple[State, State, Word]  # (i, j, word): a word that takes state j to the rate of i
EntryChange = Callable[[Operator], Operator]

MAX_CUT_UNITS = 4  # linear units by cutting of which all subsets are tried; there are 2^n


@dataclass(frozen=True)
class Factorisation:
    """One way to write the dynamics as units, and M = R L.

    Args:
        units: all units, linear ones included.
        matrix: M_ij = R_i L_j, the operator from the output of unit j to the argument of unit i.
        contracted_unit: the index of the unit that `contractions` replaced; None if there is none.
        absorbed_units: (name, unit) for each unit whose slope is a diagonal in M; see System.
        expanded_unit: (v, q) if the state of unit v is q times a new state; see `expansions`.
    """

    units: tuple[Unit, ...]
    matrix: Matrix
    contracted_unit: int | None = None
    absorbed_units: tuple[tuple[str, Unit], ...] = ()
    expanded_unit: tuple[int, Word] | None = None

    def diagonal_block(self, group: list[int]) -> "Factorisation":
        """The factorisation of the units with the indices `group`: a diagonal block of M."""
        units = tuple(self.units[i] for i in group)
        matrix = tuple(tuple(self.matrix[i][j] for j in group) for i in group)
        contracted = group.index(self.contracted_unit) if self.contracted_unit in group else None
        v, factor = self.expanded_unit or (None, ())
        expanded = (group.index(v), factor) if v in group else None
        return Factorisation(units, matrix, contracted, self.absorbed_units, expanded)


def factorisations(system: System, signs: Signs) -> Iterator[Factorisation]:
    """The factorisations of a system that are tried, the simplest first.

    No linear term is cut first; then all that couple different states; then all of them, and
    subsets of them. Last are linear units that read several states, and changes of variables.
    """
    cuttable: dict[LinearTerm, list[Word]] = {
        (i, j, word): suffixes
        for (i, j), operator in system.linear_terms.items()
        for word, _ in operator.terms
        if (suffixes := squared_suffixes(word, signs))
    }
    cuts = list(dict.fromkeys((j, p) for (_, j, _), ps in cuttable.items() for p in ps))
    largest_size = len(cuts) if len(cuts) <= MAX_CUT_UNITS else 1
    subsets = chain.from_iterable(combinations(cuts, n) for n in range(1, largest_size + 1))
    yield factorise(system)
    yield factorise(system, {(i, j, w): ps[0] for (i, j, w), ps in cuttable.items() if i != j})
    for subset in [tuple(cuts), *subsets]:
        chosen = {t: [p for p in ps if (t[1], p) in subset] for t, ps in cuttable.items()}
        yield factorise(system, {t: ps[0] for t, ps in chosen.items() if ps})
    yield from _with_multistate_units(system, signs)
    yield from contractions(factorise(system))
    yield from expansions(factorise(system))


def _with_multistate_units(system: System, signs: Signs) -> Iterator[Factorisation]:
    """Factorisations with linear units that read several states (multistate_units.py)."""
    suffixes: dict[State, list[Word]] = {state: [] for state in system.states}
    for (_, j), operator in system.linear_terms.items():
        suffixes[j] += [p for word, _ in operator.terms for p in squared_suffixes(word, signs)]
    by_length = {s: sorted(dict.fromkeys(ps), key=len, reverse=True) for s, ps in suffixes.items()}
    for extend_rows in (False, True):
        vectors, other_terms = multistate_units(system.linear_terms, by_length, extend_rows)
        if not any(len(row) > 1 for row, _ in vectors):
            continue
        linear = _linear_units(replace(system, linear_terms=other_terms), {})
        linear += [
            Unit(stages=(), row=row, column=column, text=affine_text(tuple(row.items()), {}))
            for row, column in vectors
        ]
        products = (product for unit in linear for product in unit.column_times_row)
        if sum_by_key(products) == system.linear_terms:
            ordered = _sorted_units(system, linear)
            yield Factorisation(ordered, row_column_products(ordered), None, system.absorbed_units)


def squared_suffixes(word: Word, signs: Signs) -> list[Word]:
    """The p with word = l pᵀ p for some l, the longest first, with roots of diagonals >= 0 only."""
    roots = (word_root(word[start:], signs.nonnegative) for start in range(len(word)))
    return [root for root in roots if root is not None]


def factorise(system: System, cuts: Mapping[LinearTerm, Word] | None = None) -> Factorisation:
    """The factorisation with a linear unit for each state, except for linear terms that are cut.

    Args:
        system: the dynamics.
        cuts: linear term (i, j, word) -> p, where word = l pᵀ p is cut into R = p and L = l pᵀ.
    """
    units = _sorted_units(system, _linear_units(system, cuts or {}))
    return Factorisation(units, row_column_products(units), None, system.absorbed_units)


def row_column_products(units: tuple[Unit, ...]) -> Matrix:
    """M = R L."""
    return tuple(tuple(_row_times_column(one.row, two.column) for two in units) for one in units)


def _row_times_column(row: OperatorsByState, column: OperatorsByState) -> Operator:
    return operator_sum(op @ column[state] for state, op in row.items() if state in column)


def _linear_units(system: System, cuts: Mapping[LinearTerm, Word]) -> list[Unit]:
    """A linear unit for each state and each word p that is cut off; p is () where nothing is."""
    columns: dict[tuple[State, Word], OperatorsByState] = {}
    for (i, j), operator in system.linear_terms.items():
        for word, scalar in operator.terms:
            p = cuts.get((i, j, word), ())
            rest = word[: len(word) - _square_length(p)]
            column = columns.setdefault((j, p), {})
            term = Operator.word(word_product(rest, word_adjoint(p)), scalar)
            column[i] = column.get(i, ZERO_OPERATOR) + term
    return [
        Unit(stages=(), row={s: Operator.word(word)}, column=column, text=_argument_text(word, s))
        for (s, word), column in columns.items()
    ]


def _square_length(square_root: Word) -> int:
    """The number of letters of pᵀ p; a diagonal at the start of p occurs in it only once."""
    return 2 * len(square_root) - bool(square_root and isinstance(square_root[0], Diagonal))


def _argument_text(row: Word, state: State) -> str:
    return f"{word_text(row)} {state.text}" if row else state.text


def _sorted_units(system: System, linear: list[Unit]) -> tuple[Unit, ...]:
    """The units sorted by the first equation they occur in, linear ones first, then by their row.

    The order is independent of that in the text, so that no verdict depends on the latter.
    """
    order = {state: i for i, state in enumerate(system.states)}

    def sort_key(unit: Unit) -> tuple[int, bool, list[tuple[int, str]], str, str]:
        read = sorted((order[state], str(operator)) for state, operator in unit.row.items())
        first = min(order[state] for state in unit.column)
        return first, bool(unit.stages), read, str(unit.stages), unit.text

    return tuple(sorted([*linear, *system.units], key=sort_key))


# --- changes of variables ------------------------------------------------------------------------


def contractions(factorisation: Factorisation) -> Iterator[Factorisation]:
    """Replace a linear unit v that others read only through a word p by p v.

    An example is the state V = Y' in Y'' = -σ(KᵀK Y), replaced by K V.
    If M_kv = B_k p for all k, and M_vv is a number μ, then with T = p on unit v the matrices
    satisfy T M = M̂ T, where M̂ has B_k in column v and p M_vk in row v. The eigenvalues of D M are
    those of D M̂ on the range of T, and μ, which is in M̂ as well.
    """
    for v in _replaceable_units(factorisation):
        words = [w for k, row in enumerate(factorisation.matrix) if k != v for w, _ in row[v].terms]
        longest = max(words, key=len, default=())
        for start in range(1, len(longest)):
            suffix = longest[start:]
            if all(word[-len(suffix) :] == suffix for word in words):
                yield _contract(factorisation, v, suffix)


def _replaceable_units(factorisation: Factorisation) -> Iterator[int]:
    """The linear units that are a single state with a number as diagonal entry M_vv."""
    for v, unit in enumerate(factorisation.units):
        is_state = not unit.stages and all(op == IDENTITY for op in unit.row.values())
        if is_state and factorisation.matrix[v][v].scalar is not None:
            yield v


def _contract(factorisation: Factorisation, v: int, suffix: Word) -> Factorisation:
    p, rest, unit = Operator.word(suffix), slice(-len(suffix)), factorisation.units[v]
    matrix = _change_unit(factorisation, v, lambda op: p @ op, lambda op: _slice_words(op, rest))
    (state,) = unit.row
    contracted = replace(unit, row={state: p}, text=_argument_text(suffix, state))
    units = (*factorisation.units[:v], contracted, *factorisation.units[v + 1 :])
    return Factorisation(units, matrix, v, factorisation.absorbed_units)


def _change_unit(
    factorisation: Factorisation, v: int, change_row: EntryChange, change_column: EntryChange
) -> Matrix:
    """M with the off-diagonal entries of row v and of column v changed."""
    return tuple(
        tuple(
            change_row(op) if i == v != j else change_column(op) if j == v != i else op
            for j, op in enumerate(row)
        )
        for i, row in enumerate(factorisation.matrix)
    )


def _slice_words(operator: Operator, letters: slice) -> Operator:
    """The operator with a slice of each of its words."""
    return Operator.from_terms({word[letters]: scalar for word, scalar in operator.terms})


def expansions(factorisation: Factorisation) -> Iterator[Factorisation]:
    """Write a linear unit v as q w if all terms of its rate begin with the word q: V = Aᵀ W.

    If M_vk = q B_k for all k, and M_vv is a number μ, then with T = q on unit v the matrices
    satisfy M T = T M̂, where M̂ has B_k in row v and M_kv q in column v. The eigenvalues of D M are
    those of D M̂, from left eigenvectors x with Tᵀ x ≠ 0, and μ, which is in M̂ as well.
    """
    for v in _replaceable_units(factorisation):
        words = [w for k, op in enumerate(factorisation.matrix[v]) if k != v for w, _ in op.terms]
        longest = max(words, key=len, default=())
        for end in range(1, len(longest)):
            prefix = longest[:end]
            if all(word[:end] == prefix for word in words):
                yield _expand(factorisation, v, prefix)


def _expand(factorisation: Factorisation, v: int, prefix: Word) -> Factorisation:
    rest, q = slice(len(prefix), None), Operator.word(prefix)
    matrix = _change_unit(factorisation, v, lambda op: _slice_words(op, rest), lambda op: op @ q)
    return replace(factorisation, matrix=matrix, expanded_unit=(v, prefix))
