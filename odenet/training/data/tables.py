"""`data = table("x.csv", target = "price")`: a row for each sample, a column for each number."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from odenet.diagnostics import suggest
from odenet.training.data.arrays import checked_split, unlabelled_data_set, with_test_share
from odenet.training.data.samples import DataSet
from odenet.training.errors import UnreadableData

SEPARATORS = ",;\t"
MAX_EXACT = 2**53  # all whole numbers up to this are exact in double precision


def load_table(path: str, target: Sequence[str], without: Sequence[str] = ()) -> DataSet:
    """Read a table of numbers whose first row names the columns.

    Args:
        path: the file; its columns are separated by commas, semicolons or tabs.
        target: the columns that are to be predicted; a single one may hold words for classes;
            without any only the loss of a density can be taken.
        without: columns that are left out.

    Raises:
        TrainingError: a column is not there, or holds what is not a number; says which and where.
    """
    names, rows, lines = _read(Path(path))
    for wanted in (*target, *without):
        if wanted not in names:
            help_ = suggest(wanted, names) or f"it has {', '.join(names)}"
            if len(names) == 1:
                help_ = "it has one: columns are separated by commas, semicolons or tabs"
            raise UnreadableData(f"{path} has no column `{wanted}`", help_)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    features = [name for name in names if name not in (*target, *without)]
    if not features:
        raise UnreadableData(f"{path} has no columns to predict {', '.join(target)} from")
    x = np.stack([_numbers(path, name, columns[name], lines) for name in features], axis=1)
    if not target:
        help_ = 'name some: target = ["price"]'
        message = f"no column of {path} is to be predicted"
        return unlabelled_data_set(f"table:{path}", x, message, help_)
    if len(target) == 1 and _are_words(path, target[0], columns[target[0]], lines):
        y = np.array(columns[target[0]])
        if (empty := [i for i, word in enumerate(y) if not word]) != []:
            first = lines[empty[0]]
            raise UnreadableData(_count_text(path, target[0], len(empty), "empty", first))
    else:
        y = np.stack([_numbers(path, name, columns[name], lines) for name in target], axis=1)
        if ((y == np.rint(y)) & (abs(y) <= MAX_EXACT)).all():
            y = y.astype(np.int64)
        y = y[:, 0] if len(target) == 1 else y
    return with_test_share(f"table:{path}", *checked_split(f"table:{path}", x, y))


def columns_of(path: Path) -> list[str]:
    """The names of the columns of a table."""
    return _read(path)[0]


def _read(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The names of the columns, the rows, and the line that each of these begins in."""
    if not path.is_file():
        problem = "is not a file" if path.exists() else "does not exist"
        help_ = "give a table with the columns' names in its first row"
        raise UnreadableData(f"{path} {problem}", help_)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableData(f"{path} cannot be read: {error}", "save it as UTF-8") from error
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    table: list[list[str]] = []
    begins: list[int] = []
    try:
        reader, last = csv.reader(io.StringIO(text, newline=""), delimiter=separator), 0
        for row in reader:
            if row:
                table.append(row)
                begins.append(last + 1)
            last = reader.line_num
    except csv.Error as error:
        raise UnreadableData(f"{path} cannot be read: {error}") from error
    if len(table) < 2:
        raise UnreadableData(f"{path} has no rows below the names of its columns")
    names, *rows = [[cell.strip() for cell in row] for row in table]
    lines = begins[1:]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            sizes = f"{len(row)} cells, and it has {len(names)} columns"
            raise UnreadableData(f"line {line} of {path} has {sizes}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableData(f"{path} has two columns `{twice}`", "rename one of them")
    return names, rows, lines


def _are_words(path: str, name: str, cells: list[str], lines: list[int]) -> bool:
    """Whether a target holds words, for classes; refused where it holds numbers too.

    Args:
        path: the file of the table, for messages.
        name: the name of the column, for messages.
        cells: the cells of the column.
        lines: for each cell the line of the file that it is in, for messages.
    """
    word_rows = [i for i, cell in enumerate(cells) if not _is_number(cell)]
    if word_rows and all(cells[i] for i in word_rows) and len(word_rows) < len(cells):
        count = "1 cell" if len(word_rows) == 1 else f"{len(word_rows)} cells"
        first = f'the first in line {lines[word_rows[0]]}: "{cells[word_rows[0]]}"'
        message = f"column `{name}` of {path} has numbers, and {count} of words, {first}"
        raise UnreadableData(message, "give numbers alone, or for classes words alone")
    return len(word_rows) == len(cells)


def _numbers(path: str, name: str, cells: list[str], lines: list[int]) -> np.ndarray:
    """The cells of a column as numbers; arguments as for `_are_words`."""
    wrong = [i for i, cell in enumerate(cells) if not _is_number(cell)]
    if wrong:
        shown = f'"{cells[wrong[0]]}"' if cells[wrong[0]] else "empty"
        message = _count_text(path, name, len(wrong), "not a number", lines[wrong[0]])
        raise UnreadableData(f"{message}: {shown}", f'give numbers, or without = ["{name}"]')
    values = np.array([float(cell) for cell in cells])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        message = _count_text(path, name, len(bad), "NaN or infinite", lines[bad[0]])
        raise UnreadableData(message, "leave such rows out, or fill the values in")
    return values


def _count_text(path: str, name: str, count: int, what: str, line: int) -> str:
    """The sentence that says how many cells of a column are `what`, and the line of the first."""
    cells = "1 cell that is" if count == 1 else f"{count} cells that are"
    return f"column `{name}` of {path} has {cells} {what}, the first in line {line}"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python alone reads as a separator of thousands
