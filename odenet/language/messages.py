"""Messages for single tokens and characters that are wrong wherever they are.

The public functions about an error return its code, message and help. `TERMINALS` has a name in
English for every terminal of grammar.lark, so that no message shows the parser's own.
"""

import unicodedata

from lark import Token

from odenet.diagnostics import Code

Explanation = tuple[Code, str, str]  # the code, the message, the help

TERMINALS = {
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
    "$END": "the end",
}

_PRODUCT = "write `*` between fields, and `K Y` for an operator that acts on a field"
NO_INVERSE = "the language has no inverse of an operator, `K^T` is the transpose"
_ABSOLUTE = "an absolute value or a norm has no sign"

# Commands of LaTeX without the backslash -> what to write; those of Greek letters are names.
_LATEX_COMMANDS = {
    "top": "write `^T`", "intercal": "write `^T`", "dagger": "write `^T`",
    "cdot": _PRODUCT, "times": _PRODUCT, "odot": _PRODUCT, "circ": _PRODUCT,
    "dot": "a derivative is written `Y'`", "partial": "a derivative is written `Y'`",
    "frac": "write `a / b`", "to": "write `->`", "rightarrow": "write `->`",
}  # fmt: skip

# Signs of other languages and keyboards -> what to write instead.
_REPLACEMENTS = {
    "−": "write `-`",
    "–": "write `-`",
    "·": _PRODUCT,
    "⋅": _PRODUCT,
    "∘": _PRODUCT,
    "∇": "nothing is differentiated: write the right-hand side itself",
    "∂": "a derivative is written `Y'`",
    "√": "write `^(1/2)` for numbers",
    "‖": _ABSOLUTE,
    "²": "write `^2`",
    "³": "write `^3`",
    "⁻": f"write `^(-1)` for a number; {NO_INVERSE}",
    "⊤": "write `^T`",
    "†": "write `^T`",
    "×": "write `*`",
    "⊙": "write `*`",
    "÷": "write `/`",
    "→": "write `->`",
    ">": "layers are joined by `->`",
    "|": f"layers are joined by `->`; {_ABSOLUTE}",
    ";": "a statement ends at the end of its line",
    "’": "write a straight `'`",
    "′": "write a straight `'`",
    "″": "write `''`",
    "`": "write a straight `'`",
    "@": "an operator is applied by writing it before: `K Y`",
    "%": "a comment begins with `#`",
    "!": "a comment begins with `#`",
    ".": "a transpose is written `K^T`, a function by its name alone, and a number has one point",
    "\\": "a line continues inside brackets, or where the next begins with `->`",
    "\t": "write spaces",
}

# Cyrillic letters that look like Latin ones; keyboards mix them up.
_LATIN = dict(zip("АВЕКМНОРСТХУаеорсухіј", "ABEKMHOPCTXYaeopcyxij", strict=True))


def terminal_name(terminal: str) -> str:
    """The English name of a terminal; a keyword is its own name."""
    return TERMINALS.get(terminal, f"`{terminal.lower()}`")


def quoted(token: Token) -> str:
    """A token as a message shows it."""
    return terminal_name(token.type) if token.type in ("_END", "$END") else f"`{token}`"


def unknown_text(piece: Token) -> Explanation:
    """The error for a piece of text that begins with a character the language does not have."""
    char = piece[0]
    if char == '"':
        return "unclosed-bracket", "this text is never closed", 'close it with `"` on the same line'
    message, help_ = _unknown_text(str(piece), char)
    return "unknown-character", message, help_


def _unknown_text(piece: str, char: str) -> tuple[str, str]:
    """The message about a piece of text with an unknown character, and the help."""
    if char in "“„«”»":
        return "a text is written in straight quotes", f'write `"{piece.strip("“„«”»")}"`'
    if char == "\\" and len(piece) > 1:
        help_ = _LATEX_COMMANDS.get(piece[1:], f"write the name alone: `{piece[1:]}`")
        return f"`{piece}` is LaTeX", help_
    if "\u0307" in unicodedata.normalize("NFD", piece):
        return f"`{piece}` has a dot", "a derivative is written `Y'`"
    unknown = next((c for c in piece if not _is_name_character(c)), char)
    if unknown.isalpha() and unknown not in _REPLACEMENTS:
        return _foreign_letter(piece, unknown)
    if char == "_":
        return f"`{piece}` is not a name: a name begins with a letter", ""
    shown = f"`{piece}`" if char.isprintable() else _unicode_name(char)
    return f"{shown} has no meaning here", _REPLACEMENTS.get(char, "")


def _unicode_name(char: str) -> str:
    """The name of a character in Unicode."""
    return unicodedata.name(char, f"character number {ord(char)}").lower()


def _is_name_character(char: str) -> bool:
    """Whether a character may be in a name: a Latin or Greek letter, a digit or `_`."""
    if char.isascii():
        return char.isalnum() or char == "_"
    folded = unicodedata.normalize("NFKC", char)
    return folded.isdigit() or folded.isascii() or "Α" <= folded <= "ω"


def _foreign_letter(piece: str, letter: str) -> tuple[str, str]:
    if letter in _LATIN:
        latin = "".join(_LATIN.get(c, c) for c in piece)
        message = (
            f"the `{letter}` here is not the Latin `{_LATIN[letter]}` but a {_unicode_name(letter)}"
        )
        return message, f"write `{latin}`"
    help_ = "names are made of the letters A to Z, Greek letters, digits and `_`"
    return f"`{letter}` ({_unicode_name(letter)}) cannot be part of a name", help_


def unclosed_bracket(bracket: Token) -> Explanation:
    """The error for an opening bracket that is never closed."""
    closing = {"(": ")", "[": "]", "{": "}"}[str(bracket)]
    return "unclosed-bracket", f"this `{bracket}` is never closed", f"close it with `{closing}`"


def unopened_bracket(bracket: Token) -> Explanation:
    """The error for a closing bracket that nothing opens."""
    help_ = "remove it, or open the bracket before it"
    return "unclosed-bracket", f"nothing opens this `{bracket}`", help_


def dangling_operator(token: Token) -> Explanation:
    """The error for a line that ends in an operator, where the next line continues the formula."""
    if str(token) == "->":
        return "line-end", "a line cannot end with `->`", "begin the next line with it"
    help_ = "a formula goes on in the next line only inside brackets"
    if str(token) == ",":
        help_ = "a list of names is written on one line"
    return "line-end", f"a line cannot end with `{token}`", help_


def block_without_brace(keyword: Token) -> Explanation:
    """The error for a block without `{` after its first line."""
    help_ = f"a {keyword} is written in `{{ … }}`"
    return "line-end", "`{` is missing at the end of this line", help_
