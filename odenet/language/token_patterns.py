"""The keywords of the language and the patterns of its tokens, for syntax highlighters."""

from collections.abc import Collection
from functools import cache

from lark.lexer import PatternStr, TerminalDef

from odenet.language.lexer import parser


@cache
def keywords() -> tuple[str, ...]:
    """The words that have a meaning of their own, in alphabetic order."""
    literals = (t.pattern.value for t in _terminals() if isinstance(t.pattern, PatternStr))
    return tuple(sorted(word for word in literals if word.isascii() and word.isidentifier()))


def keyword_pattern() -> str:
    """A regular expression of the keywords that leaves names such as `start₁` alone.

    A word boundary is not enough: to the engines of many editors it lies before the `₁`.
    """
    # of the pattern `[first character][other characters]*` the second class
    name_characters = terminal_pattern("NAME").partition("]")[2].removesuffix("*")
    return rf"\b(?:{'|'.join(keywords())})(?!{name_characters})"


def terminal_pattern(terminal: str) -> str:
    """The regular expression of a terminal of the grammar, such as NAME, NUMBER or STRING."""
    return next(t.pattern.to_regexp() for t in _terminals() if t.name == terminal)


def _terminals() -> Collection[TerminalDef]:
    return parser().terminals
