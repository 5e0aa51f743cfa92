"""Lines of one kind that follow one another get their `=`, names or arrows under each other."""

from collections.abc import Callable, Iterable
from itertools import groupby

from odenet.language.lines import Line

FURTHEST = 8  # columns that a short layer is padded by, at most, to bring an arrow under another
_DECLARES = {"STATE", "PARAM", "SHARED", "MAP", "LET"}


def align(lines: Iterable[Line]) -> None:
    """Add spaces so that what belongs together is aligned."""
    lines = list(lines)
    for group in _groups([line for line in lines if not line.goes_on], _kind):
        kind = _kind(group[0])
        if kind in ("equation", "setting") or (kind == "step" and not _spaced_once(group, "EQUAL")):
            _bring_under(group, [line.types().index("EQUAL") for line in group])
        if kind == "equation":
            _align_signs(group)
        if kind == "declaration":
            _align_names(group)
    for group in _groups(lines, lambda line: (_is_arrow(line), line.depth)):
        if _is_arrow(group[0]):
            _align_arrows(group)


def _groups(lines: list[Line], kind: Callable[[Line], object]) -> Iterable[list[Line]]:
    """Runs of lines of one kind, without an empty line between; comments are looked through."""
    number = 0
    numbered: list[tuple[tuple[int, object], Line]] = []
    for line in lines:
        number += line.blank
        if line.tokens:
            numbered.append(((number, kind(line)), line))
    for _, run in groupby(numbered, key=lambda pair: pair[0]):
        yield [line for _, line in run]


def _kind(line: Line) -> str:
    types = line.types()
    if line.block:
        left = types[: types.index("EQUAL")] if "EQUAL" in types else []
        indexed = left[:2] == ["NAME", "LSQB"] and left[-1:] == ["RSQB"]
        if left == ["NAME"] or indexed:
            return "setting" if line.block == "TRAIN" else "step"
        return ""
    if types[:1] == ["NAME"] and types[1:3] == ["PRIME", "EQUAL"]:
        return "equation"
    return "declaration" if types and types[0] in _DECLARES else ""


def _width(line: Line, end: int) -> int:
    """Columns of the tokens before one, with their spaces."""
    return sum(line.spaces[:end]) + sum(len(token) for token in line.tokens[:end])


def _bring_under(group: list[Line], places: list[int], wanted: int = 0) -> None:
    """Give one token of each line the same column."""
    columns = [
        _width(line, place) + line.spaces[place] for line, place in zip(group, places, strict=True)
    ]
    furthest = max(*columns, wanted)
    for line, place, column in zip(group, places, columns, strict=True):
        line.spaces[place] += furthest - column


def _align_signs(group: list[Line]) -> None:
    """Leave room for a sign before right-hand sides that have none."""
    signed = [line.types()[3:4] in (["MINUS"], ["PLUS"]) for line in group]
    for line, sign in zip(group, signed, strict=True):
        if any(signed) and not sign and len(line.spaces) > 3:
            line.spaces[3] += 1


def _spaced_once(group: list[Line], kind: str) -> bool:
    """Whether the author wrote one space before the first token of a type in every line."""
    places = [(line.tokens, line.types().index(kind)) for line in group]
    return all(tokens[i].start_pos == (tokens[i - 1].end_pos or 0) + 1 for tokens, i in places)


def _align_names(group: list[Line]) -> None:
    """Bring declared names under each other, two spaces after the longest word.

    The author's own columns stay when all lines have the same one, and near, and so does one space
    in all lines.
    """
    heads = [line.types().index("NAME") for line in group]
    words = [line.types()[:i] for line, i in zip(group, heads, strict=True)]
    if all(word == words[0] for word in words) or _spaced_once(group, "NAME"):
        return
    widest = max(_width(line, i) for line, i in zip(group, heads, strict=True))
    written = {
        (line.tokens[i].start_pos or 0) - (line.tokens[0].start_pos or 0)
        for line, i in zip(group, heads, strict=True)
    }
    kept = written.pop() if len(written) == 1 else 0
    _bring_under(group, heads, kept if widest < kept <= widest + 2 else widest + 2)


def _is_arrow(line: Line) -> bool:
    return line.types()[:1] == ["_ARROW"]


def _align_arrows(group: list[Line]) -> None:
    """Bring the second arrows of the lines of a pipeline under each other, if near."""
    pairs = [(line, place) for line in group if (place := _second_arrow(line))]
    columns = [_width(line, place) for line, place in pairs]
    if len(pairs) > 1 and max(columns) - min(columns) <= FURTHEST:
        _bring_under([line for line, _ in pairs], [place for _, place in pairs])


def _second_arrow(line: Line) -> int:
    """Where the second arrow outside of brackets is in a line; 0 when it has none."""
    depth = 0
    for i, kind in enumerate(line.types()):
        depth += (kind in ("LPAR", "LSQB")) - (kind in ("RPAR", "RSQB"))
        if kind == "_ARROW" and i > 0 and depth == 0:
            return i
    return 0
