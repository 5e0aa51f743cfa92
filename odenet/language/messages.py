"""Syntax errors in the language's own words.

Each function gives a message and a help text. `WORDS` names every terminal of grammar.lark, so
that no name of the parser's ever reaches a user.
"""

import unicodedata

from lark import Token

WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": 'a text in "quotes"',
    "PRIME": "`'`",
    "_TRANSPOSE": "`ᵀ`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "TIMES": "`*`",
    "OVER": "`/`",
    "CIRCUMFLEX": "`^`",
    "EQUAL": "`=`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "_ARROW": "`->`",
    "_END": "the end of the line",
    "$END": "the end of the file",
}

_OPERATORS = {"PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "_ARROW", "COLON"}
_OPERAND = {"NAME", "NUMBER", "LPAR"}
_ENDS = {"_END", "RPAR", "RSQB", "RBRACE", "$END"}
_INSTEAD = {
    "²": "write `^2`", "³": "write `^3`", "×": "write `*`", "÷": "write `/`", "→": "write `->`",
    ";": "a statement ends at the end of its line",
    "“": 'write a straight `"`', "”": 'write a straight `"`', '"': 'close it with `"` on this line',
    "’": "write a straight `'`", "′": "write a straight `'`",
}  # fmt: skip


def word(terminal: str) -> str:
    """A terminal's name for people; keywords are themselves."""
    return WORDS.get(terminal, f"`{terminal.lower()}`")


def stray_character(char: str) -> tuple[str, str]:
    """A character that begins nothing in the language."""
    name = unicodedata.name(char, f"character number {ord(char)}").lower()
    if char.isalpha():
        return (
            f"names are written in Latin and Greek letters; `{char}` is {name}",
            _INSTEAD.get(char, ""),
        )
    shown = f"`{char}`" if char.isprintable() else name
    return f"{shown} has no meaning here", _INSTEAD.get(char, "")


def unclosed(bracket: Token) -> tuple[str, str]:
    """A bracket without its partner."""
    closing = {"(": ")", "[": "]", "{": "}"}[str(bracket)]
    return f"this `{bracket}` is never closed", f"close it with `{closing}`"


def unopened(bracket: Token) -> tuple[str, str]:
    """A closing bracket too many."""
    return f"nothing opens this `{bracket}`", "remove it, or open the bracket before it"


def unexpected(token: Token, before: Token | None, accepts: set[str]) -> tuple[Token, str, str]:
    """A token that cannot stand where it stands.

    Args:
        token: the token.
        before: the token before it, None at the start of a statement.
        accepts: the terminals that could stand there.

    Returns:
        The token to underline, the message and the help.
    """
    if before is None:
        return token, f"no statement begins with {_shown(token)}", _statement_help(token)
    if token.isidentifier() and token.type != "NAME" and "NAME" in accepts:
        message = f"`{token}` is a word of the language and cannot be a name"
        return token, message, "choose another name"
    if before.type in _OPERATORS and _OPERAND & accepts:
        sign = token.type in ("PLUS", "MINUS")
        help_ = "a sign inside a product goes in brackets: `2 * (-a)`" if sign else ""
        return before, f"a value is missing after {_shown(before)}", help_
    if token.type in _OPERATORS and _OPERAND & accepts:
        return token, f"a value is missing before {_shown(token)}", ""
    wanted = sorted({word(t) for t in accepts if t not in _ENDS} or map(word, accepts))
    if token.type in _ENDS and len(wanted) < 4:
        return token, f"{' or '.join(wanted)} is missing after {_shown(before)}", ""
    help_ = f"expected {' or '.join(wanted)}" if len(wanted) < 4 else ""
    return token, f"{_shown(token)} cannot follow {_shown(before)} here", help_


def _shown(token: Token) -> str:
    """A token as the user sees it."""
    return "the end of the line" if token.type in ("_END", "$END") else f"`{token}`"


def _statement_help(token: Token) -> str:
    if token.type in ("AUX", "FOR", "START"):
        return f"`{token}` stands inside `scheme NAME {{ … }}`"
    return (
        "a statement is an equation such as `Y' = …`, or begins with state, param, map, let, "
        "discretise, require, output, net, train, scheme or use"
    )
