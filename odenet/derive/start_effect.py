"""The order that remains if the values before the first step have an error.

Let the error e be of size h^q. To first order, e is propagated by the one-step matrix, and enters
right-hand sides as h F' e; if its sign alternates, this averages out. To second order it does not:
h F''(e, e) of an error that oscillates without decay has a mean, and changes the solution by h^(2q)
(Hairer, Lubich & Wanner, Geometric Numerical Integration, XV.3, on the parasitic components of
multistep methods). If q = 0, all derivatives of F contribute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from odenet.derive.h_series import Number, PowerSeries, multiply
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.power_bounded import TOLERANCE, Matrix, eigenvalues, growth
from odenet.derive.trees import Tree
from odenet.model.expressions.expr import Slot

Argument = tuple[str, int]  # a right-hand side and the number of one of its arguments
Errors = Mapping[Slot, PowerSeries]  # stored value -> the error of its coefficient on a tree
# A right-hand side in a new value: its factor there, and its argument's coefficients.
Use = tuple[PowerSeries, dict[Slot, PowerSeries]]


@dataclass(frozen=True)
class StartError:
    """The error of the values before the first step, on one tree.

    Args:
        tree: the tree t.
        power: q, the power of h that is considered.
        errors: stored value -> the error of its coefficient on t.
        errors_above: the same on the tree F'(t), for every argument in which t can occur.
    """

    tree: Tree
    power: int
    errors: Errors
    errors_above: Mapping[Argument, Errors]


def remaining_order(conditions: OrderConditions, error: StartError, bound: int) -> tuple[int, bool]:
    """The order that remains, and whether it may be higher.

    The result is exact only if it is less than `bound`, the order known so far.
    """
    matrix, newest = conditions.step_matrix(), _newest(conditions)
    vector = _coefficients(conditions, error.errors, error.power)
    degree = growth(matrix, eigenvalues(matrix), vector, range(len(matrix)), newest)
    if degree is not None:
        return error.power - degree, False
    linear = _linear_order(conditions, error)
    # pairs compare by their order first
    return min(linear, _quadratic_order(conditions, error, vector, min(bound, linear[0])) or linear)


def _coefficients(conditions: OrderConditions, errors: Errors, power: int) -> list[Number]:
    """The errors' coefficients of h^power, as a vector of stored values."""
    return [errors[slot].get(power, 0) for slot in conditions.slots]


def _newest(conditions: OrderConditions) -> list[int]:
    """The components of a vector of stored values that are the newest values of the solution."""
    names = conditions.forest.pattern_of_variable
    return [i for i, s in enumerate(conditions.slots) if s.name in names and not s.offset]


def _extra_powers(conditions: OrderConditions) -> range:
    """The powers of h that may be gained before an error reaches the solution."""
    return range(max(p.order for p in conditions.scheme.patterns) + 1)


def _linear_order(conditions: OrderConditions, error: StartError) -> tuple[int, bool]:
    """The order that errors on t and their effects on F'(t) leave, and if it may be higher."""
    size, powers = len(conditions.slots), _extra_powers(conditions)
    blocks = 2 * len(powers)
    # the joint matrix is block triangular, with the step's matrix in each block of its diagonal
    values = eigenvalues(conditions.step_matrix()) * blocks
    orders: list[int] = []
    for argument, errors_above in error.errors_above.items():
        matrix = _joint_matrix(conditions, argument)
        start = [x for errors in (error.errors, errors_above) for k in powers
                 for x in _coefficients(conditions, errors, error.power + k)]  # fmt: skip
        for block in range(1, blocks):
            components = range(block * size, (block + 1) * size)
            newest = [block * size + i for i in _newest(conditions)]
            degree = growth(matrix, values, start, components, newest)
            if degree is not None:
                orders.append(error.power + block % len(powers) - degree)
    return (min(orders), False) if orders else (error.power + 2, True)


def _joint_matrix(conditions: OrderConditions, argument: Argument) -> Matrix:
    """The matrix of a step for errors on t at several powers of h, followed by those on F'(t)."""
    powers = _extra_powers(conditions)
    diagonal = _block_toeplitz([conditions.step_matrix(k) for k in powers])
    coupling = _block_toeplitz([_derivative(conditions, argument, k) for k in powers])
    zero = _zeros(len(conditions.slots), len(conditions.slots))
    blocks = [[*row, *[zero] * len(row)] for row in diagonal]
    blocks += [[*a, *b] for a, b in zip(coupling, diagonal, strict=True)]
    return _assembled(blocks)


def _derivative(conditions: OrderConditions, argument: Argument, power: int) -> Matrix:
    """The matrix of the dependence on stored values through one argument, at a power of h."""
    uses = [_uses(conditions, target, argument) for target in conditions.slots]
    return [
        [
            sum(multiply(outer, inner[slot], power).get(power, 0) for outer, inner in row)
            for slot in conditions.slots
        ]
        for row in uses
    ]


def _uses(conditions: OrderConditions, slot: Slot, argument: Argument) -> list[Use]:
    """Where a new value contains a right-hand side: its factor, and the argument's coefficients."""
    function, index = argument
    read = conditions.writer.to_series
    found: list[Use] = []
    for atom, factor in conditions.new_values[slot].items():
        if isinstance(atom, int) and conditions.algebra.atoms[atom].function == function:
            form = conditions.algebra.atoms[atom].arguments[index]
            inner = {s: read(form[s]) if s in form else {} for s in conditions.slots}
            found.append((read(factor), inner))
    return found


# --- to second order -----------------------------------------------------------------------------


def _quadratic_order(
    conditions: OrderConditions, error: StartError, vector: list[Number], bound: int
) -> tuple[int, bool] | None:
    """The order that the mean of F''(e, e) leaves; None if it is not less than `bound`.

    For an error of size 1 higher derivatives contribute as much. If the second derivatives cancel,
    the result is then order 0 or more.
    """
    values = eigenvalues(conditions.step_matrix())
    oscillates = any(abs(v) > 1 - TOLERANCE and abs(v - 1) > TOLERANCE for v in values)
    if 2 * error.power + (0 if oscillates else 1) >= bound:
        return None
    size, powers = len(vector), _extra_powers(conditions)
    start = [a * b for a, b in product(vector, vector)] + [0] * (size * len(powers))
    joint_eigenvalues = [a * b for a, b in product(values, values)] + values * len(powers)
    orders: list[int] = []
    for argument in error.errors_above:
        matrix = _quadratic_matrix(conditions, argument)
        for k in powers:
            offset = size * size + k * size
            newest = [offset + i for i in _newest(conditions)]
            degree = growth(matrix, joint_eigenvalues, start, range(offset, offset + size), newest)
            if degree is not None:
                orders.append(2 * error.power + k - degree)
    if orders:
        return min(orders), error.power > 0
    persists = [_persists(conditions, a, values, vector) for a in error.errors_above]
    return (0, True) if not error.power and any(persists) else None


def _quadratic_matrix(conditions: OrderConditions, argument: Argument) -> Matrix:
    """The matrix of a step for e ⊗ e, followed by what F''(e, e) adds at several powers of h."""
    powers, matrix = _extra_powers(conditions), conditions.step_matrix()
    size = len(matrix)
    pairs = list(product(range(size), range(size)))
    squared = [[matrix[i][k] * matrix[j][m] for k, m in pairs] for i, j in pairs]
    blocks = [[squared, *[_zeros(size * size, size)] * len(powers)]]
    for i, diagonal_row in enumerate(_block_toeplitz([conditions.step_matrix(k) for k in powers])):
        blocks.append([_second_derivative(conditions, argument, i), *diagonal_row])
    return _assembled(blocks)


def _second_derivative(conditions: OrderConditions, argument: Argument, power: int) -> Matrix:
    """The matrix from e ⊗ e to what F''(e, e) adds to each stored value, at a power of h."""
    pairs = list(product(range(len(conditions.slots)), repeat=2))
    rows: Matrix = []
    for target in conditions.slots:
        uses = [
            (outer.get(power, 0), [_factor_at_zero(inner, slot) for slot in conditions.slots])
            for outer, inner in _uses(conditions, target, argument)
        ]
        rows.append([sum(factor * c[i] * c[j] for factor, c in uses) for i, j in pairs])
    return rows


def _persists(
    conditions: OrderConditions, argument: Argument, values: list[Number], vector: list[Number]
) -> bool:
    """Whether an error persists in an argument of a right-hand side."""
    # one more component, the last, holds what the argument is after a step
    matrix, last = [[*row, 0] for row in conditions.step_matrix()], [len(conditions.slots)]
    for target in conditions.slots:
        for _, inner in _uses(conditions, target, argument):
            augmented = [*matrix, [*(_factor_at_zero(inner, slot) for slot in conditions.slots), 0]]
            if growth(augmented, [*values, 0], [*vector, 0], last, last) is not None:
                return True
    return False


def _factor_at_zero(factors: Mapping[Slot, PowerSeries], slot: Slot) -> Number:
    """The coefficient of a stored value at h = 0."""
    return factors[slot].get(0, 0)


def _block_toeplitz(matrices: list[Matrix]) -> list[list[Matrix]]:
    """A block Toeplitz matrix: the first matrix on the diagonal, the next below it, and so on."""
    zero = _zeros(len(matrices[0]), len(matrices[0][0]))
    indices = range(len(matrices))
    return [[matrices[i - j] if j <= i else zero for j in indices] for i in indices]


def _zeros(rows: int, columns: int) -> Matrix:
    return [[0] * columns for _ in range(rows)]


def _assembled(blocks: list[list[Matrix]]) -> Matrix:
    """One matrix from blocks."""
    return [[x for block in row for x in block[i]] for row in blocks for i in range(len(row[0]))]
