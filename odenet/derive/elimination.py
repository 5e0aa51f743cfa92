"""Linear systems whose coefficients are power series in the step size."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from odenet.derive.h_series import Powers, add, invert, multiply

Row = dict[str, Powers]


class Elimination:
    """Gauss-Jordan elimination of Q s = R for many R; unknowns that Q does not determine are free.

    Args:
        equations: row -> unknown -> coefficient; the first rows are used first where several
            would do.
        unknowns: the columns.
        limit: the highest power of h that is kept.

    Attributes:
        free: the unknowns that no equation determines.
    """

    def __init__(self, equations: Mapping[str, Row], unknowns: Sequence[str], limit: int):
        self.limit = limit
        left = {row: {u: p for u, p in entries.items() if p} for row, entries in equations.items()}
        # every row with the combination of given rows that it is
        used: dict[str, Row] = {row: {row: {0: Fraction(1)}} for row in equations}
        self._solved: dict[str, str] = {}
        while choice := self._pivot(left):
            row, unknown = choice
            self._solved[unknown] = row
            factor = invert(left[row][unknown], limit)
            left[row] = self._scaled(left[row], factor)
            used[row] = self._scaled(used[row], factor)
            for other in left.keys() - {row}:
                if by := left[other].get(unknown):
                    left[other] = self._minus(left[other], left[row], by)
                    used[other] = self._minus(used[other], used[row], by)
        self.free = [unknown for unknown in unknowns if unknown not in self._solved]
        self._left, self._used = left, used

    def _pivot(self, left: Mapping[str, Row]) -> tuple[str, str] | None:
        """The entry with the lowest power of h in a row that is not used yet."""
        rows = [row for row in left if row not in self._solved.values()]
        choices = [
            (min(powers), rows.index(row), row, unknown)
            for row in rows
            for unknown, powers in left[row].items()
        ]
        return min(choices)[2:] if choices else None

    def _scaled(self, row: Row, factor: Powers) -> Row:
        found = {key: multiply(powers, factor, self.limit) for key, powers in row.items()}
        return {key: powers for key, powers in found.items() if powers}

    def _minus(self, row: Row, other: Row, factor: Powers) -> Row:
        found = dict(row)
        for key, powers in self._scaled(other, factor).items():
            found[key] = add(found.get(key, {}), powers, -1)
        return {key: powers for key, powers in found.items() if powers}

    def solve(
        self, right: Mapping[str, Powers], free: Mapping[str, Powers]
    ) -> tuple[dict[str, Powers], dict[str, Powers]]:
        """The unknowns, and nonzero residuals of dependent rows: with any there is not a solution.

        Args:
            right: row -> R.
            free: values of the free unknowns.
        """
        sides = {row: self._combined(self._used[row], right) for row in self._used}
        values = dict(free)
        for unknown, row in self._solved.items():
            given = {u: p for u, p in self._left[row].items() if u in free}
            values[unknown] = add(sides[row], self._combined(given, free), -1)
        spare = self._used.keys() - self._solved.values()
        return values, {row: sides[row] for row in self._used if row in spare and sides[row]}

    def _combined(self, row: Row, values: Mapping[str, Powers]) -> Powers:
        total: Powers = {}
        for key, factor in row.items():
            if values.get(key):
                total = add(total, multiply(factor, values[key], self.limit))
        return total
