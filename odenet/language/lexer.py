"""From text to the tokens of each statement."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters

from odenet.diagnostics import Report, Source, Span
from odenet.language import messages

_CLOSES = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}

# Words that begin a statement and never stand inside brackets: where one begins a line, an open
# bracket was forgotten. The second set may begin a line inside `{ }`.
_TOP = {"ODENET", "USE", "STATE", "SHARED", "PARAM", "MAP", "OUTPUT", "DISCRETISE", "DISCRETIZE",
        "REQUIRE", "NET", "TRAIN", "SCHEME"}  # fmt: skip
_INNER = {"LET", "START", "AUX", "FOR"}


def grammar_text() -> str:
    """The text of grammar.lark: inside the package when installed, beside it in a checkout."""
    packaged = files("odenet") / "grammar.lark"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "grammar.lark").read_text(encoding="utf-8")


@cache
def parser() -> Lark:
    """The LALR parser of the language."""
    return Lark(
        grammar_text(), parser="lalr", lexer="basic", start="file", propagate_positions=True
    )


def tokens(source: Source, report: Report) -> list[Token]:
    """All tokens of a source; stray characters are reported and skipped."""
    text = source.text + "\n"
    while True:
        try:
            return list(parser().lex(text))
        except UnexpectedCharacters as stray:
            at = stray.pos_in_stream
            message, help_ = messages.stray_character(source.text[at])
            report.error(message, Span(source, at, at + 1), help=help_)
            stand_in = "A" if source.text[at].isalpha() else " "
            text = text[:at] + stand_in + text[at + 1 :]


def statements(source: Source, report: Report) -> Iterator[list[Token]]:
    """The tokens of one statement at a time, ended by one line end.

    Line ends inside `( )` and `[ ]`, before `->` and after `{` are dropped; one stands before
    every `}`. A bracket that is never closed is reported where it opens, and its statement is
    left out.
    """
    found: list[Token] = []
    brackets: list[Token] = []
    stream = tokens(source, report)
    broken = False

    def fail(token: Token, message: str, help_: str) -> None:
        nonlocal broken
        broken = True
        report.error(message, Span(source, token.start_pos, token.end_pos), help=help_)

    for i, token in enumerate(stream):
        if token.type in _CLOSES:
            brackets.append(token)
        elif token.type in _CLOSES.values():
            while brackets and token.type == "RBRACE" != _CLOSES[brackets[-1].type]:
                fail(brackets[-1], *messages.unclosed(brackets.pop()))
            if brackets and _CLOSES[brackets[-1].type] == token.type:
                brackets.pop()
            else:
                fail(token, *messages.unopened(token))
        if token.type != "_END":
            if token.type == "RBRACE" and found[-1:] and found[-1].type not in ("_END", "LBRACE"):
                found.append(Token.new_borrow_pos("_END", "\n", token))
            found.append(token)
            continue
        line = [later for later in stream[i + 1 :] if later.type != "_END"][:3]
        while brackets and _begins_statement(line, brackets[-1]):
            fail(brackets[-1], *messages.unclosed(brackets.pop()))
        inside = brackets and brackets[-1].type != "LBRACE"
        if inside or (line and line[0].type == "_ARROW") or not found:
            continue
        if brackets:
            if found[-1].type not in ("LBRACE", "_END"):
                found.append(token)
            continue
        if not broken:
            yield [*found, token]
        found, broken = [], False


def _begins_statement(line: list[Token], bracket: Token) -> bool:
    """Whether a line can only be a new statement, so that the bracket before it was forgotten."""
    kinds = [token.type for token in line]
    if not kinds or kinds[0] in _TOP:
        return True
    if bracket.type == "LBRACE":
        return kinds[:2] == ["NAME", "PRIME"]
    return kinds[0] in _INNER or kinds[:3] == ["NAME", "PRIME", "EQUAL"]
