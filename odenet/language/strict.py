"""`python -m odenet.language.strict`: the grammar has no conflict, neither of rules nor of tokens.

Needs the package interegular, without which lark cannot compare regular expressions.
"""

import sys

# Without interegular lark skips half of the check in silence.
import interegular  # noqa: F401  # pyright: ignore[reportUnusedImport]
from lark import Lark
from lark.exceptions import GrammarError, LexError

from odenet.language.lexer import grammar_text


def conflicts(grammar: str) -> str:
    """What is ambiguous in a grammar, in lark's words; empty when nothing is."""
    try:
        Lark(grammar, parser="lalr", lexer="basic", start=["file", "setting"], strict=True)
    except (GrammarError, LexError) as error:
        return str(error)
    return ""


def main() -> int:
    """Print the first conflict; the exit code."""
    found = conflicts(grammar_text())
    print(found or "grammar.lark has no conflict")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
