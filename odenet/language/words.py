"""The words and signs of the language by kind, read off grammar.lark, for whatever colours text."""

from collections.abc import Collection
from functools import cache

from lark.lexer import PatternStr, TerminalDef

from odenet.language.lexer import parser


@cache
def keywords() -> tuple[str, ...]:
    """The words that have a meaning of their own, in alphabetic order."""
    fixed = (t.pattern.value for t in _terminals() if isinstance(t.pattern, PatternStr))
    return tuple(sorted(word for word in fixed if word.isascii() and word.isidentifier()))


def keyword_pattern() -> str:
    """A regular expression of the keywords that leaves names such as `start₁` alone.

    A word boundary is not enough: to the engines of many editors it lies before the `₁`.
    """
    goes_on = pattern("NAME").partition("]")[2].removesuffix("*")
    return rf"\b(?:{'|'.join(keywords())})(?!{goes_on})"


def pattern(terminal: str) -> str:
    """The regular expression of a terminal of the grammar, such as NAME, NUMBER or STRING."""
    return next(t.pattern.to_regexp() for t in _terminals() if t.name == terminal)


def _terminals() -> Collection[TerminalDef]:
    return parser().terminals
