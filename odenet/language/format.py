"""The formatter: one layout of spaces, indentation and alignment; keeps line breaks and comments.

The text is split into lines of tokens, and each line is written again. Formatting does not change
the syntax tree: `parse(format(x)) == parse(x)`, except for a line `odenet 1` that may be added.
"""

import re

from lark import Token

from odenet.diagnostics import Report, Source
from odenet.language import tree
from odenet.language.align import align_columns
from odenet.language.lexer import tokens
from odenet.language.lines import Line
from odenet.language.parser import VERSION, parse
from odenet.language.spacing import spaces_before

INDENT = 4
_OPENS = {"LPAR", "LSQB"}  # a brace opens a block, which is indented by itself
_CLOSES = {"RPAR", "RSQB"}


def format_source(source: Source) -> str:
    """The formatted text of a source.

    Raises:
        SpecError: it has syntax errors.
    """
    report = Report()
    file = parse(source, report)
    report.raise_if_errors()
    lines = _annotate(_split_at_braces(_lines(source)))
    for line in lines:
        line.spaces = spaces_before(line.tokens)
    align_columns(lines)
    text = "\n".join(_Writer().write(lines))
    version = "" if file.statements_of(tree.Version) else f"odenet {VERSION}\n"
    written = f"{version}{text}\n" if text else version
    _verify(file, Source(source.name, written))
    return written


def _verify(file: tree.File, written: Source) -> None:
    """Check that the formatted text has the same syntax tree, before a file is overwritten."""
    after = [s for s in parse(written, Report()).statements if not isinstance(s, tree.Version)]
    before = [s for s in file.statements if not isinstance(s, tree.Version)]
    if after != before:
        raise AssertionError("the formatted text has another syntax tree")


def _lines(source: Source) -> list[Line]:
    """The lines of a source that are not empty."""
    result: list[Line] = []
    current: list[Token] = []
    offset = 0
    blank = False
    for token in tokens(source):
        comment = re.search(r"#[^\n]*", source.text[offset : token.start_pos])
        offset = token.end_pos or 0
        if token.type != "_END":
            current.append(token)
            continue
        if current or comment:
            text = comment.group().rstrip() if comment else ""
            column = _comment_column(source, token.start_pos or 0, text)
            result.append(Line(current, text, column, blank_before=blank and bool(result)))
        blank = not current and not comment
        current = []
    return result


def _comment_column(source: Source, offset: int, comment: str) -> int:
    """The column where the comment of the line that ends at an offset begins, tabs expanded."""
    start = source.text.rfind("\n", 0, offset) + 1
    return len(source.text[start:offset].rstrip().removesuffix(comment).expandtabs(INDENT))


def _split_at_braces(lines: list[Line]) -> list[Line]:
    """The lines, cut so that `{` ends a line and `}` begins one; a block on one line stays."""
    result: list[Line] = []
    for line in lines:
        types = line.token_types()
        if types[:1] == ["LBRACE"] and (head := _last_with_tokens(result)) is not None:
            head.tokens.append(line.tokens.pop(0))
            types.pop(0)
        on_one_line = "LBRACE" in types and "RBRACE" in types
        for brace, shift in (("LBRACE", 1), ("RBRACE", 0)):  # cut after `{`, and before `}`
            types = line.token_types()
            cut = types.index(brace) + shift if brace in types and not on_one_line else 0
            if 0 < cut < len(types):
                result.append(Line(line.tokens[:cut], blank_before=line.blank_before))
                line = Line(line.tokens[cut:], line.comment, line.comment_column)
        if line.tokens or line.comment:
            result.append(line)
    return result


def _last_with_tokens(lines: list[Line]) -> Line | None:
    return next((line for line in reversed(lines) if line.tokens), None)


def _annotate(lines: list[Line]) -> list[Line]:
    """Set, in place, which lines continue a statement, and in which block each line is."""
    depth = 0
    block = ""
    for i, line in enumerate(lines):
        # a comment line continues a statement if the next line with tokens does
        following = next((later for later in lines[i:] if later.tokens), None)
        before_arrow = following is not None and following.token_types()[0] == "_ARROW"
        line.is_continuation, line.depth = depth > 0 or before_arrow, depth
        line.blank_before = line.blank_before and not line.is_continuation
        types = line.token_types()
        line.block = "" if types[:1] == ["RBRACE"] else block
        if "LBRACE" in types and "RBRACE" not in types:
            block = types[0]
        elif types[:1] == ["RBRACE"]:
            block = ""
        depth += sum(t in _OPENS for t in types) - sum(t in _CLOSES for t in types)
    return lines


class _Writer:
    """Writes lines one after the other, and keeps the indentation of continuation lines.

    Attributes:
        statement_indent: the indentation of the statement's first line.
        pipeline_column: the column where its right-hand side begins: its pipeline continues there.
        brackets: for every open bracket the columns of its contents and of its closing bracket.
    """

    def __init__(self) -> None:
        self.statement_indent = 0
        self.pipeline_column = 0
        self.brackets: list[tuple[int, int]] = []

    def write(self, lines: list[Line]) -> list[str]:
        """The lines of the formatted text."""
        result: list[str] = []
        for line in lines:
            result += [""] if line.blank_before else []
            indent = self._indent(line)
            text = " " * indent + line.text() if line.tokens else ""
            self._track_brackets(line, indent)
            if line.comment and line.tokens:
                text = text.ljust(max(len(text) + 2, line.comment_column)) + line.comment
            elif line.comment:
                text = " " * indent + line.comment
            result.append(text)
        return result

    def _indent(self, line: Line) -> int:
        """The number of spaces before a line."""
        if not line.is_continuation:
            self.statement_indent = INDENT if line.block else 0
            self.pipeline_column = self.statement_indent + INDENT
            return self.statement_indent
        if not self.brackets:
            return self.pipeline_column
        inside, closing = self.brackets[-1]
        return closing if line.token_types()[:1] and line.token_types()[0] in _CLOSES else inside

    def _track_brackets(self, line: Line, indent: int) -> None:
        """Update `brackets` and `pipeline_column` after a line was written."""
        column = indent
        last = len(line.tokens) - 1
        for i, (space, token) in enumerate(zip(line.spaces, line.tokens, strict=True)):
            column += space
            if token.type in _OPENS:
                hanging = i == last
                inside = indent + INDENT if hanging else column + 1
                self.brackets.append((inside, indent if hanging else column))
            elif token.type in _CLOSES:
                self.brackets.pop()
            elif token.type == "EQUAL" and not (self.brackets or line.is_continuation) and i < last:
                self.pipeline_column = column + 1 + line.spaces[i + 1]
            column += len(token)
