"""`python -m odenet.language.check_grammar`: checks that grammar.lark has no conflicts.

Needs the package interegular, without which lark cannot compare regular expressions.
"""

import sys

# Without interegular lark silently skips the check of the tokens.
import interegular  # noqa: F401  # pyright: ignore[reportUnusedImport]
from lark import Lark
from lark.exceptions import GrammarError, LexError

from odenet.language.lexer import grammar_text


def first_conflict(grammar: str) -> str:
    """The first conflict of a grammar, in lark's words; empty if there is none."""
    try:
        Lark(grammar, parser="lalr", lexer="basic", start=["file", "setting"], strict=True)
    except (GrammarError, LexError) as error:
        return str(error)
    return ""


def main() -> int:
    """Print the first conflict, and return the exit code."""
    conflict = first_conflict(grammar_text())
    print(conflict or "grammar.lark has no conflict")
    return 1 if conflict else 0


if __name__ == "__main__":
    sys.exit(main())
