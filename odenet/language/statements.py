"""From tokens to statements: which lines continue a statement, and which bracket closes which.

A bracket without a partner becomes a `BadToken`, which carries its error message.
"""

from collections.abc import Iterator

from lark import Token

from odenet.diagnostics import Code, Source, SpecError
from odenet.language import messages
from odenet.language.lexer import bad_token, span_of, tokens

_CLOSING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
MOST_NESTED = 32

# Keywords that begin a statement and never occur inside brackets: an open bracket before a line
# that begins with one was not closed. Those of the second set may begin a line inside `{ }`.
STATEMENT_WORDS = {
    "ODENET", "USE", "STATE", "SHARED", "PARAM", "MAP", "OUTPUT", "DISCRETISE", "DISCRETIZE",
    "REQUIRE", "NET", "TRAIN", "SCHEME",
}  # fmt: skip
BLOCK_WORDS = {"LET", "START", "AUX", "FOR"}
LOOKAHEAD = 8  # the number of tokens read after a line end, enough for `Y[n+1] =`
_BLOCKS = {"TRAIN", "SCHEME"}
_CONTINUING = {"PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "_ARROW"}
_VALUE_ENDS = {"NAME", "NUMBER", "STRING", "RPAR", "RSQB", "PRIME", "_TRANSPOSE"}


def statements(source: Source) -> Iterator[list[Token]]:
    """The tokens of one statement at a time, ended by one line end.

    Line ends inside `( )` and `[ ]`, before `->` and `{`, and after `{` are dropped; one is put
    before every `}`.
    """
    stream = tokens(source)
    other_tokens = [token for token in stream if token.type != "_END"]
    builder = _StatementBuilder(source)
    position = 0
    for token in stream:
        if token.type != "_END":
            builder.add(token)
            position += 1
        elif builder.add_line_end(token, other_tokens[position : position + LOOKAHEAD]):
            yield builder.tokens
            builder.tokens = []


class _StatementBuilder:
    """Gathers the tokens of one statement.

    Attributes:
        tokens: its tokens so far.
        brackets: of each open bracket the index in `tokens`, and the type of its closing bracket.
    """

    def __init__(self, source: Source):
        self.source = source
        self.tokens: list[Token] = []
        self.brackets: list[tuple[int, str]] = []
        self._error_line = 0  # the line of the last bad token

    def add(self, token: Token) -> None:
        """Add a token that is not a line end."""
        if token.type in _CLOSING:
            self.brackets.append((len(self.tokens), _CLOSING[token.type]))
            self.tokens.append(token)
            if len(self.brackets) > MOST_NESTED:
                message = f"brackets are nested deeper than {MOST_NESTED}"
                place, help_ = span_of(token, self.source), "name a part with let"
                raise SpecError.of("too-large", message, place, help_)
        elif token.type in _CLOSING.values():
            self._close(token)
        else:
            self.tokens.append(token)

    def add_line_end(self, end: Token, following: list[Token]) -> bool:
        """Add a line end or drop it; returns whether the statement is complete.

        `following` are the first tokens of the next line that has any.
        """
        while self.brackets and self._must_be_unclosed(following):
            self._report_unclosed()
        inside = bool(self.brackets) and self.brackets[-1][1] != "RBRACE"
        if inside or not self.tokens or (following and following[0].type in ("_ARROW", "LBRACE")):
            return False
        if self._ends_in_operator(following):
            operator = self.tokens[-1]
            self.tokens[-1] = self._make_bad(operator, *messages.dangling_operator(operator))
            return False
        if not self.brackets:
            self._check_block(end, following)
        if self.tokens[-1].type not in ("LBRACE", "_END"):
            self.tokens.append(end)
        return not self.brackets

    def _close(self, token: Token) -> None:
        """Match a closing bracket with the innermost open one of its type, if no `{` is between."""
        partners = [i for i, (_, closing) in enumerate(self.brackets) if closing == token.type]
        braces = [i for i, (_, closing) in enumerate(self.brackets) if closing == "RBRACE"]
        if not partners or (braces and braces[-1] > partners[-1]):
            self.tokens.append(self._make_bad(token, *messages.unopened_bracket(token)))
            return
        while len(self.brackets) > partners[-1] + 1:
            self._report_unclosed()
        self.brackets.pop()
        if token.type == "RBRACE" and self.tokens[-1].type not in ("_END", "LBRACE"):
            self.tokens.append(Token.new_borrow_pos("_END", "\n", token))
        self.tokens.append(token)

    def _report_unclosed(self) -> None:
        """Report the innermost bracket as never closed."""
        index, _ = self.brackets.pop()
        bracket = self.tokens[index]
        if bracket.type in _CLOSING:
            self.tokens[index] = self._make_bad(bracket, *messages.unclosed_bracket(bracket))

    def _check_block(self, end: Token, following: list[Token]) -> None:
        """Report a block without `{`, as after `train` at a line's end; it counts as opened."""
        types = {token.type for token in self.tokens}
        if self.tokens[0].type == "SCHEME" and _has_definition(self.tokens):
            return
        continues = following and following[0].type not in STATEMENT_WORDS
        if self.tokens[0].type in _BLOCKS and "LBRACE" not in types and continues:
            self.brackets.append((len(self.tokens), "RBRACE"))
            self.tokens.append(self._make_bad(end, *messages.block_without_brace(self.tokens[0])))

    def _must_be_unclosed(self, following: list[Token]) -> bool:
        """Whether the next line can only be a new statement, so that a bracket is not closed."""
        types = [token.type for token in following]
        if not types or types[0] in STATEMENT_WORDS:
            return True
        if self.brackets[-1][1] == "RBRACE":
            return types[:2] == ["NAME", "PRIME"]
        left_side = types[: types.index("EQUAL")] if "EQUAL" in types else []
        indexed = left_side[:2] == ["NAME", "LSQB"] and left_side[-1] == "RSQB"
        after_value = self.tokens[-1].type in _VALUE_ENDS
        begins_statement = types[0] in BLOCK_WORDS or left_side == ["NAME", "PRIME"]
        return begins_statement or (after_value and (left_side == ["NAME"] or indexed))

    def _ends_in_operator(self, following: list[Token]) -> bool:
        """Whether a line ends with an operator and the next line can only continue it."""
        types = [token.type for token in following]
        begins_statement = not types or types[0] in STATEMENT_WORDS | BLOCK_WORDS
        begins_statement = begins_statement or types[1:2] in (["PRIME"], ["EQUAL"])
        return self.tokens[-1].type in _CONTINUING and not begins_statement and types[0] != "RBRACE"

    def _make_bad(self, token: Token, code: Code, message: str, help_: str) -> Token:
        """A bad token in place of a token; only the first one of a line has a message."""
        line, last_line = span_of(token, self.source).line, self._error_line
        self._error_line = line
        return bad_token(token) if line == last_line else bad_token(token, code, message, help_)


def _has_definition(line: list[Token]) -> bool:
    """Whether a line has an equals sign outside of brackets, as `scheme NAME(…) = …` does."""
    depth = 0
    for token in line[1:]:
        depth += (token.type == "LPAR") - (token.type == "RPAR")
        if token.type == "EQUAL" and not depth:
            return True
    return False
