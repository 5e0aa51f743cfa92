"""How many spaces are between the tokens of a line.

Where a space tells the reader something that the syntax does not, the author's choice stays:
`σ(Z)` and `h (Y + Z)`, `2c` and `2 h`, `h/2` and `1 / (2 - w)`.
"""

from lark import Token

_BEFORE_SIGN = {
    "PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "COLON", "LPAR", "LSQB",
    "LBRACE", "_ARROW", "OUTPUT",
}  # fmt: skip
_TIGHT_BEFORE = {"COMMA", "RPAR", "RSQB", "PRIME", "_TRANSPOSE", "CIRCUMFLEX"}
_TIGHT_AFTER = {"LPAR", "LSQB", "CIRCUMFLEX"}


def gaps(tokens: list[Token], text: str) -> list[int]:
    """The number of spaces before each token of a line."""
    found: list[int] = []
    index = False
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        if token.type == "LSQB" and before is not None and before.type == "NAME":
            index = True
            found.append(0)
            continue
        tight = before is None or index or _tight(tokens, i, text)
        found.append(0 if tight else 1)
        index = index and token.type != "RSQB"
    return found


def _tight(tokens: list[Token], i: int, text: str) -> bool:
    """Whether no space is before a token that is not the first of its line."""
    before, token = tokens[i - 1], tokens[i]
    if token.type in _TIGHT_BEFORE or before.type in _TIGHT_AFTER:
        return True
    if before.type in ("PLUS", "MINUS") and (i == 1 or tokens[i - 2].type in _BEFORE_SIGN):
        return True
    if token.type == "LPAR" and before.type in ("NAME", "PRIME", "RPAR", "RSQB", "NUMBER"):
        return _joined(tokens, i) or _is_head(tokens, i)
    if token.type == "NAME" and before.type == "NUMBER":
        return _joined(tokens, i)
    for slash in (i - 1, i):
        if tokens[slash].type == "OVER" and 0 < slash < len(tokens) - 1:
            return _joined(tokens, slash) and _joined(tokens, slash + 1)
    return False


def _joined(tokens: list[Token], i: int) -> bool:
    """Whether the author wrote no space before a token."""
    return tokens[i - 1].end_pos == tokens[i].start_pos


def _is_head(tokens: list[Token], i: int) -> bool:
    """Whether a bracket belongs to what a line defines: `Y(0) = …`, `scheme NAME(…) {`."""
    types = [token.type for token in tokens[:i]]
    return types in (["NAME"], ["NAME", "PRIME"], ["SCHEME", "NAME"]) or types[:1] == ["FOR"]
