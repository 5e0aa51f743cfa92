"""Linear systems whose coefficients are power series in the step size h."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from odenet.derive.h_series import PowerSeries, add, invert, multiply

Row = dict[str, PowerSeries]


class Elimination:
    """Gauss-Jordan elimination of Q s = R with unknowns s, done once and then used for many R.

    Args:
        equations: the rows of Q, by name: row -> unknown -> coefficient. Of several rows that can
            be the pivot row the first one is taken.
        unknowns: the columns of Q.
        max_degree: the highest power of h that is kept.

    Attributes:
        free_unknowns: those that no equation determines; the caller chooses their values.
    """

    def __init__(self, equations: Mapping[str, Row], unknowns: Sequence[str], max_degree: int):
        self.max_degree = max_degree
        reduced = {row: {u: p for u, p in terms.items() if p} for row, terms in equations.items()}
        # each reduced row as a combination of the given rows
        combined: dict[str, Row] = {row: {row: {0: Fraction(1)}} for row in equations}
        self._pivot_rows: dict[str, str] = {}
        while choice := self._pivot(reduced):
            row, unknown = choice
            self._pivot_rows[unknown] = row
            factor = invert(reduced[row][unknown], max_degree)
            reduced[row] = self._scale(reduced[row], factor)
            combined[row] = self._scale(combined[row], factor)
            for other in reduced.keys() - {row}:
                if multiple := reduced[other].get(unknown):
                    reduced[other] = self._subtract(reduced[other], reduced[row], multiple)
                    combined[other] = self._subtract(combined[other], combined[row], multiple)
        self.free_unknowns = [unknown for unknown in unknowns if unknown not in self._pivot_rows]
        self._reduced_rows, self._combinations = reduced, combined

    def _pivot(self, reduced: Mapping[str, Row]) -> tuple[str, str] | None:
        """Row and unknown of the next pivot: the entry with the lowest power of h."""
        rows = [row for row in reduced if row not in self._pivot_rows.values()]
        choices = [
            (min(powers), rows.index(row), row, unknown)
            for row in rows
            for unknown, powers in reduced[row].items()
        ]
        return min(choices)[2:] if choices else None

    def _scale(self, row: Row, factor: PowerSeries) -> Row:
        scaled = {key: multiply(powers, factor, self.max_degree) for key, powers in row.items()}
        return {key: powers for key, powers in scaled.items() if powers}

    def _subtract(self, row: Row, other: Row, factor: PowerSeries) -> Row:
        difference = dict(row)
        for key, powers in self._scale(other, factor).items():
            difference[key] = add(difference.get(key, {}), powers, -1)
        return {key: powers for key, powers in difference.items() if powers}

    def solve(
        self, right_side: Mapping[str, PowerSeries], free_values: Mapping[str, PowerSeries]
    ) -> tuple[dict[str, PowerSeries], dict[str, PowerSeries]]:
        """The unknowns, and the residuals that are not zero.

        Residuals belong to rows that depend on others. If there is one, the system has no solution.

        Args:
            right_side: row -> its entry of R.
            free_values: the values of the free unknowns.
        """
        sides = {row: self._combine(c, right_side) for row, c in self._combinations.items()}
        values = dict(free_values)
        for unknown, row in self._pivot_rows.items():
            free_entries = {u: p for u, p in self._reduced_rows[row].items() if u in free_values}
            values[unknown] = add(sides[row], self._combine(free_entries, free_values), -1)
        dependent_rows = self._combinations.keys() - self._pivot_rows.values()
        return values, {row: s for row, s in sides.items() if s and row in dependent_rows}

    def _combine(self, row: Row, values: Mapping[str, PowerSeries]) -> PowerSeries:
        """Σ coefficient * value over the entries of a row."""
        total: PowerSeries = {}
        for key, factor in row.items():
            if values.get(key):
                total = add(total, multiply(factor, values[key], self.max_degree))
        return total
