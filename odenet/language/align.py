"""The formatter's alignment: `=`, names or arrows of consecutive similar lines share a column."""

from collections.abc import Callable, Iterable
from itertools import groupby

from odenet.language.lines import Line

MOST_PADDING = 8  # spaces before a second arrow; layers whose lengths differ more are not aligned
_DECLARATIONS = {"STATE", "PARAM", "SHARED", "MAP", "LET"}


def align_columns(lines: Iterable[Line]) -> None:
    """Add spaces to lines, in place, so that what belongs together is aligned."""
    lines = list(lines)
    for group in _groups([line for line in lines if not line.is_continuation], _line_kind):
        kind = _line_kind(group[0])
        author_aligned = kind == "update" and not _spaced_once(group, "EQUAL")
        if kind in ("equation", "setting") or author_aligned:
            _pad_to_column(group, [line.token_types().index("EQUAL") for line in group])
        if kind == "equation":
            _align_signs(group)
        if kind == "declaration":
            _align_names(group)
    for group in _groups(lines, lambda line: (_begins_with_arrow(line), line.depth)):
        if _begins_with_arrow(group[0]):
            _align_arrows(group)


def _groups(lines: list[Line], kind: Callable[[Line], object]) -> Iterable[list[Line]]:
    """Runs of lines of one kind, without an empty line in between; comment lines do not count."""
    paragraph = 0
    keyed: list[tuple[tuple[int, object], Line]] = []
    for line in lines:
        paragraph += line.blank_before
        if line.tokens:
            keyed.append(((paragraph, kind(line)), line))
    for _, run in groupby(keyed, key=lambda pair: pair[0]):
        yield [line for _, line in run]


def _line_kind(line: Line) -> str:
    """Which lines a line is aligned with: those of the same kind; empty if with none."""
    types = line.token_types()
    if line.block:
        left = types[: types.index("EQUAL")] if "EQUAL" in types else []
        indexed = left[:2] == ["NAME", "LSQB"] and left[-1:] == ["RSQB"]
        if left == ["NAME"] or indexed:
            return "setting" if line.block == "TRAIN" else "update"  # `lr = …` or `Y[n+1] = …`
        return ""
    if types[:1] == ["NAME"] and types[1:3] == ["PRIME", "EQUAL"]:
        return "equation"
    return "declaration" if types and types[0] in _DECLARATIONS else ""


def _column(line: Line, index: int) -> int:
    """The column at which a token would begin without the spaces before it."""
    return sum(line.spaces[:index]) + sum(len(token) for token in line.tokens[:index])


def _pad_to_column(group: list[Line], indices: list[int], least: int = 0) -> None:
    """Give one token of each line the same column, `least` or more."""
    columns = [_column(line, i) + line.spaces[i] for line, i in zip(group, indices, strict=True)]
    rightmost = max(*columns, least)
    for line, i, column in zip(group, indices, columns, strict=True):
        line.spaces[i] += rightmost - column


def _align_signs(group: list[Line]) -> None:
    """Indent right-hand sides that begin without a sign, in lines `Y' = …`, if others have one."""
    # tokens 0 to 2 are `Y`, `'` and `=`
    signed = [line.token_types()[3:4] in (["MINUS"], ["PLUS"]) for line in group]
    for line, sign in zip(group, signed, strict=True):
        if any(signed) and not sign and len(line.spaces) > 3:
            line.spaces[3] += 1


def _spaced_once(group: list[Line], token_type: str) -> bool:
    """Whether the author wrote one space before the first token of a type in every line."""
    first = [(line.tokens, line.token_types().index(token_type)) for line in group]
    return all(tokens[i].start_pos == (tokens[i - 1].end_pos or 0) + 1 for tokens, i in first)


def _align_names(group: list[Line]) -> None:
    """Give declared names the same column, two spaces after the longest keyword.

    The author's column is kept if it is the same in all lines and one or two spaces after that
    keyword. A single space after the keyword is kept too, if all lines have it.
    """
    indices = [line.token_types().index("NAME") for line in group]
    keywords = [line.token_types()[:i] for line, i in zip(group, indices, strict=True)]
    if all(keyword == keywords[0] for keyword in keywords) or _spaced_once(group, "NAME"):
        return
    widest = max(_column(line, i) for line, i in zip(group, indices, strict=True))
    author_columns = {
        (line.tokens[i].start_pos or 0) - (line.tokens[0].start_pos or 0)
        for line, i in zip(group, indices, strict=True)
    }
    author_column = author_columns.pop() if len(author_columns) == 1 else 0
    column = author_column if widest < author_column <= widest + 2 else widest + 2
    _pad_to_column(group, indices, column)


def _begins_with_arrow(line: Line) -> bool:
    return line.token_types()[:1] == ["_ARROW"]


def _align_arrows(group: list[Line]) -> None:
    """Give the second arrows of lines that begin with one the same column, if little is padded."""
    pairs = [(line, i) for line in group if (i := _second_arrow(line))]
    columns = [_column(line, i) for line, i in pairs]
    if len(pairs) > 1 and max(columns) - min(columns) <= MOST_PADDING:
        _pad_to_column([line for line, _ in pairs], [i for _, i in pairs])


def _second_arrow(line: Line) -> int:
    """The index of the second arrow outside of brackets in a line; 0 if there is none."""
    depth = 0
    for i, kind in enumerate(line.token_types()):
        depth += (kind in ("LPAR", "LSQB")) - (kind in ("RPAR", "RSQB"))
        if kind == "_ARROW" and i > 0 and depth == 0:
            return i
    return 0
