"""From text to tokens; text that is not part of the language becomes a `BadToken`."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters

from odenet.diagnostics import Code, Report, Source, Span, SpecError
from odenet.language import messages, parse_tables

MOST_BAD = 50  # bad tokens, after which a file is hardly a spec and is not read any further
MOST_TOKENS = 100_000


class BadToken(Token):
    """A piece of text that is not a token of the language, or a bracket without its partner.

    Attributes:
        code: the kind of mistake.
        message: what is wrong with it; empty if another bad token of the line has the message.
        help: what to write instead.
    """

    code: Code
    message: str
    help: str


def bad_token(piece: Token, code: Code = "syntax", message: str = "", help_: str = "") -> BadToken:
    """A bad token for a piece of text, with the error message about it."""
    token = BadToken("BAD", str(piece), start_pos=piece.start_pos, end_pos=piece.end_pos)
    assert isinstance(token, BadToken)
    token.code, token.message, token.help = code, message, help_
    return token


# How far a bad token reaches that begins with a character the language does not have: to the
# end of the first pattern that matches there.
_BAD_PATTERNS = (
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
    bad_tokens: list[BadToken] = []
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
            bad_tokens.append(_bad_token_at(text, offset + unexpected.pos_in_stream, lexed))
            lexed.append(bad_tokens[-1])
            offset = bad_tokens[-1].end_pos or len(text)
        if len(bad_tokens) == MOST_BAD:
            _reject_file(bad_tokens, source)
    return [_checked_number(token) for token in lexed]


def span_of(token: Token, source: Source) -> Span:
    """Where a token is; a line's end is one character wide."""
    start = token.start_pos or 0
    return Span(source, start, start + 1 if token.type == "_END" else token.end_pos or start)


def _reject_file(bad_tokens: list[BadToken], source: Source) -> NoReturn:
    """Report the bad tokens, and that the rest of the file is not read."""
    report = Report()
    for token in bad_tokens:
        report.error(token.code, token.message, span_of(token, source), token.help)
    last = span_of(bad_tokens[-1], source)
    report.error("not-a-spec", "the file is not read any further", last, "is it a spec?")
    report.raise_all()


def _shifted(token: Token, distance: int) -> Token:
    start, end = token.start_pos or 0, token.end_pos or 0
    return Token(token.type, token.value, start_pos=start + distance, end_pos=end + distance)


def _bad_token_at(text: str, offset: int, before: list[Token]) -> BadToken:
    """The bad token at an offset.

    A name that ends there becomes part of it, and is removed from `before`, the tokens before it.
    """
    last = before[-1] if before else None
    if text[offset].isalpha() and last and last.type == "NAME" and last.end_pos == offset:
        offset = before.pop().start_pos or 0
    match = next(m for pattern in _BAD_PATTERNS if (m := pattern.match(text, offset)))
    piece = Token("BAD", match.group(), start_pos=offset, end_pos=match.end())
    return bad_token(piece, *messages.unknown_text(piece))


def _checked_number(token: Token) -> Token:
    """The token; a bad one for a number that is too large, too small or too long to store."""
    if token.type != "NUMBER":
        return token
    digits = token.lower().partition("e")[0]
    vanishes = float(token) == 0 and digits.strip("0.") != ""
    if float(token) < float("inf") and not vanishes and len(token) <= 100:
        return token
    wrong = "small" if vanishes else "long" if len(token) > 100 else "large"
    return bad_token(token, "too-large", f"this number is too {wrong}")
