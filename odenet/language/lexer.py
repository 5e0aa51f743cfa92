"""From text to tokens. Text that is not a token of the language becomes a token `Stray`."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters

from odenet.diagnostics import Code, Report, Source, Span, SpecError
from odenet.language import messages, parse_tables

MOST_STRAYS = 50
MOST_TOKENS = 100_000


class Stray(Token):
    """A piece of text that is not a token of the language, or a bracket without its partner.

    Attributes:
        code: the kind of mistake.
        message: what is wrong with it; empty when another stray of the line has the message.
        help: what to write instead.
    """

    code: Code
    message: str
    help: str


def make_stray(piece: Token, code: Code = "syntax", message: str = "", help_: str = "") -> Stray:
    """A stray for a piece of text, with the error message about it."""
    token = Stray("STRAY", str(piece), start_pos=piece.start_pos, end_pos=piece.end_pos)
    assert isinstance(token, Stray)
    token.code, token.message, token.help = code, message, help_
    return token


# What belongs to a stray that begins with a character the language does not have.
_STRAY_PATTERNS = (
    re.compile(r'"[^\n]*'),  # a text without its closing quote
    re.compile(r"[“„«][^\n]*?(?:[”“»]|(?=\n))"),
    re.compile(r"\\[A-Za-z]+"),  # a command of LaTeX
    re.compile(r"⁻[⁰¹²³⁴⁵⁶⁷⁸⁹]*"),  # a raised number below 0
    re.compile(r"\w[\w\u0307]*"),  # a word with a foreign letter in it
    re.compile(r"(.)\1*", re.DOTALL),  # one sign, or more of the same
)


def grammar_text() -> str:
    """The text of grammar.lark: inside the package when installed, beside it in a checkout."""
    packaged = files("odenet") / "grammar.lark"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "grammar.lark").read_text(encoding="utf-8")


@cache
def parser() -> Lark:
    """The parser of the language, loaded from the stored parse tables if they match the grammar."""
    grammar = grammar_text()
    return parse_tables.load_parser(grammar) or parse_tables.build_parser(grammar)


def tokens(source: Source) -> list[Token]:
    """All tokens of a source, ended by a line end.

    Raises:
        SpecError: the text is full of characters that the language does not have, or is too long.
    """
    text = source.text + "\n"
    lexed: list[Token] = []
    strays: list[Stray] = []
    offset = 0
    while offset < len(text):
        lexer = parser().parse_interactive(text[offset:], start="file").lexer_thread
        try:
            for token in lexer.lex(None):
                lexed.append(_shifted(token, offset))
                if len(lexed) > MOST_TOKENS:
                    message = f"a file has at most {MOST_TOKENS:,} words and signs"
                    message += ", and here it has that many"
                    raise SpecError.of("too-large", message, span_of(lexed[-1], source))
            break
        except UnexpectedCharacters as unexpected:
            strays.append(_stray_at(text, offset + unexpected.pos_in_stream, lexed))
            lexed.append(strays[-1])
            offset = strays[-1].end_pos or len(text)
        if len(strays) == MOST_STRAYS:
            _give_up(strays, source)
    return [_checked_number(token) for token in lexed]


def span_of(token: Token, source: Source) -> Span:
    """Where a token is; a line's end is one character wide."""
    start = token.start_pos or 0
    return Span(source, start, start + 1 if token.type == "_END" else token.end_pos or start)


def _give_up(strays: list[Stray], source: Source) -> NoReturn:
    report = Report()
    for token in strays:
        report.error(token.code, token.message, span_of(token, source), token.help)
    last = span_of(strays[-1], source)
    report.error("not-a-spec", "the file is not read any further", last, "is it a spec?")
    report.raise_all()


def _shifted(token: Token, distance: int) -> Token:
    start, end = token.start_pos or 0, token.end_pos or 0
    return Token(token.type, token.value, start_pos=start + distance, end_pos=end + distance)


def _stray_at(text: str, offset: int, before: list[Token]) -> Stray:
    """The stray at an offset. A name that ends there becomes a part of it, and leaves `before`."""
    last = before[-1] if before else None
    if text[offset].isalpha() and last and last.type == "NAME" and last.end_pos == offset:
        offset = before.pop().start_pos or 0
    match = next(m for piece in _STRAY_PATTERNS if (m := piece.match(text, offset)))
    piece = Token("STRAY", match.group(), start_pos=offset, end_pos=match.end())
    return make_stray(piece, *messages.unknown_text(piece))


def _checked_number(token: Token) -> Token:
    """The token, or a stray for a number that is too large, too small or too long to store."""
    if token.type != "NUMBER":
        return token
    digits = token.lower().partition("e")[0]
    vanishes = float(token) == 0 and digits.strip("0.") != ""
    if float(token) < float("inf") and not vanishes and len(token) <= 100:
        return token
    wrong = "small" if vanishes else "long" if len(token) > 100 else "large"
    return make_stray(token, "too-large", f"this number is too {wrong}")
