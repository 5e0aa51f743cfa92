"""How many spaces the formatter puts between the tokens of a line.

Where a space says something to the reader that the syntax does not, the author's choice is kept:
`σ(Z)` and `h (Y + Z)`, `2c` and `2 h`, `h/2` and `1 / (2 - w)`.
"""

from lark import Token

_BEFORE_UNARY_SIGN = {
    "PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "COLON", "LPAR", "LSQB",
    "LBRACE", "_ARROW", "OUTPUT",
}  # fmt: skip
_NO_SPACE_BEFORE = {"COMMA", "RPAR", "RSQB", "PRIME", "_TRANSPOSE", "CIRCUMFLEX"}
_NO_SPACE_AFTER = {"LPAR", "LSQB", "CIRCUMFLEX"}


def spaces_before(tokens: list[Token]) -> list[int]:
    """The number of spaces before each token of a line."""
    spaces: list[int] = []
    inside_index = False
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        if token.type == "LSQB" and before is not None and before.type == "NAME":
            inside_index = True
            spaces.append(0)
            continue
        spaces.append(0 if before is None or inside_index or _is_tight(tokens, i) else 1)
        inside_index = inside_index and token.type != "RSQB"
    return spaces


def _is_tight(tokens: list[Token], i: int) -> bool:
    """Whether a token that is not the first of its line has no space before it."""
    before, token = tokens[i - 1], tokens[i]
    if token.type in _NO_SPACE_BEFORE or before.type in _NO_SPACE_AFTER:
        return True
    if before.type in ("PLUS", "MINUS") and (i == 1 or tokens[i - 2].type in _BEFORE_UNARY_SIGN):
        return True
    if token.type == "LPAR" and before.type in ("NAME", "PRIME", "RPAR", "RSQB", "NUMBER"):
        return _is_adjacent(tokens, i) or _is_definition_head(tokens, i)
    if token.type == "NAME" and before.type == "NUMBER":
        return _is_adjacent(tokens, i)
    for slash in (i - 1, i):
        if tokens[slash].type == "OVER" and 0 < slash < len(tokens) - 1:
            return _is_adjacent(tokens, slash) and _is_adjacent(tokens, slash + 1)
    return False


def _is_adjacent(tokens: list[Token], i: int) -> bool:
    """Whether the author wrote no space before a token."""
    return tokens[i - 1].end_pos == tokens[i].start_pos


def _is_definition_head(tokens: list[Token], i: int) -> bool:
    """Whether a bracket belongs to the name that a line defines: `Y(0) = …`, `scheme NAME(…) {`."""
    types = [token.type for token in tokens[:i]]
    return types in (["NAME"], ["NAME", "PRIME"], ["SCHEME", "NAME"]) or types[:1] == ["FOR"]
