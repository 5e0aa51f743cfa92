"""From tokens to statements: where a line goes on, and which bracket closes which.

A bracket without a partner becomes a stray, which carries what is to be said of it.
"""

from collections.abc import Iterator

from lark import Token

from odenet.diagnostics import Code, Source, SpecError
from odenet.language import messages
from odenet.language.lexer import span_of, stray, tokens

_CLOSES = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
MOST_NESTED = 32

# Words that begin a statement and are never inside brackets: where one begins a line, an open
# bracket was forgotten. The second set may begin a line inside `{ }`.
TOP = {"ODENET", "USE", "STATE", "SHARED", "PARAM", "MAP", "OUTPUT", "DISCRETISE", "DISCRETIZE",
       "REQUIRE", "NET", "TRAIN", "SCHEME"}  # fmt: skip
INNER = {"LET", "START", "AUX", "FOR"}
LOOKAHEAD = 8  # tokens after a line end: as many as an indexed left side `Y[n+1] =` has
_BLOCKS = {"TRAIN", "SCHEME"}
_JOINS = {"PLUS", "MINUS", "TIMES", "OVER", "CIRCUMFLEX", "EQUAL", "COMMA", "_ARROW"}
_VALUE_ENDS = {"NAME", "NUMBER", "STRING", "RPAR", "RSQB", "PRIME", "_TRANSPOSE"}


def statements(source: Source) -> Iterator[list[Token]]:
    """The tokens of one statement at a time, ended by one line end.

    Line ends inside `( )` and `[ ]`, before `->` and `{`, and after `{` are dropped; one is put
    before every `}`.
    """
    stream = tokens(source)
    words = [token for token in stream if token.type != "_END"]
    joiner = _Joiner(source)
    taken = 0
    for token in stream:
        if token.type != "_END":
            joiner.take(token)
            taken += 1
        elif joiner.take_line_end(token, words[taken : taken + LOOKAHEAD]):
            yield joiner.found
            joiner.found = []


class _Joiner:
    """Gathers the tokens of one statement.

    Attributes:
        found: the tokens so far.
        brackets: where in `found` the open brackets are, with what closes each.
    """

    def __init__(self, source: Source):
        self.source = source
        self.found: list[Token] = []
        self.brackets: list[tuple[int, str]] = []
        self._stray_line = 0

    def take(self, token: Token) -> None:
        """Add a token that is not a line end."""
        if token.type in _CLOSES:
            self.brackets.append((len(self.found), _CLOSES[token.type]))
            self.found.append(token)
            if len(self.brackets) > MOST_NESTED:
                message = f"brackets are nested deeper than {MOST_NESTED}"
                place, help_ = span_of(token, self.source), "name a part with let"
                raise SpecError.of("too-large", message, place, help_)
        elif token.type in _CLOSES.values():
            self._close(token)
        else:
            self.found.append(token)

    def take_line_end(self, end: Token, following: list[Token]) -> bool:
        """Take a line end; whether the statement ends with it."""
        while self.brackets and self._forgotten(following):
            self._unclosed()
        inside = bool(self.brackets) and self.brackets[-1][1] != "RBRACE"
        if inside or not self.found or (following and following[0].type in ("_ARROW", "LBRACE")):
            return False
        if self._dangles(following):
            self.found[-1] = self._stray(self.found[-1], *messages.dangling(self.found[-1]))
            return False
        if not self.brackets:
            self._check_block(end, following)
        if self.found[-1].type not in ("LBRACE", "_END"):
            self.found.append(end)
        return not self.brackets

    def _close(self, token: Token) -> None:
        """Match a closing bracket with the innermost that it can close."""
        partners = [i for i, (_, closing) in enumerate(self.brackets) if closing == token.type]
        walls = [i for i, (_, closing) in enumerate(self.brackets) if closing == "RBRACE"]
        if not partners or (walls and walls[-1] > partners[-1]):
            self.found.append(self._stray(token, *messages.unopened(token)))
            return
        while len(self.brackets) > partners[-1] + 1:
            self._unclosed()
        self.brackets.pop()
        if token.type == "RBRACE" and self.found[-1].type not in ("_END", "LBRACE"):
            self.found.append(Token.new_borrow_pos("_END", "\n", token))
        self.found.append(token)

    def _unclosed(self) -> None:
        """Report the innermost bracket as never closed."""
        index, _ = self.brackets.pop()
        bracket = self.found[index]
        if bracket.type in _CLOSES:
            self.found[index] = self._stray(bracket, *messages.unclosed(bracket))

    def _check_block(self, end: Token, following: list[Token]) -> None:
        """Report a block whose `{` is missing, and read on as if it were there."""
        kinds = {token.type for token in self.found}
        if self.found[0].type == "SCHEME" and _defined(self.found):
            return
        goes_on = following and following[0].type not in TOP
        if self.found[0].type in _BLOCKS and "LBRACE" not in kinds and goes_on:
            self.brackets.append((len(self.found), "RBRACE"))
            self.found.append(self._stray(end, *messages.block_without_brace(self.found[0])))

    def _forgotten(self, following: list[Token]) -> bool:
        """Whether the next line can only be a new statement: the bracket before was forgotten."""
        kinds = [token.type for token in following]
        if not kinds or kinds[0] in TOP:
            return True
        if self.brackets[-1][1] == "RBRACE":
            return kinds[:2] == ["NAME", "PRIME"]
        left = kinds[: kinds.index("EQUAL")] if "EQUAL" in kinds else []
        indexed = left[:2] == ["NAME", "LSQB"] and left[-1] == "RSQB"
        after_value = self.found[-1].type in _VALUE_ENDS
        begins = kinds[0] in INNER or left == ["NAME", "PRIME"]
        return begins or (after_value and (left == ["NAME"] or indexed))

    def _dangles(self, following: list[Token]) -> bool:
        """Whether a line ends with an operator and the next one can only be its rest."""
        kinds = [token.type for token in following]
        begins = not kinds or kinds[0] in TOP | INNER or kinds[1:2] in (["PRIME"], ["EQUAL"])
        return self.found[-1].type in _JOINS and not begins and kinds[0] != "RBRACE"

    def _stray(self, token: Token, code: Code, message: str, help_: str) -> Token:
        """A token without a place; one bracket says what is wrong with the others of its line."""
        line = span_of(token, self.source).line
        first = line != self._stray_line
        self._stray_line = line
        return stray(token, code, message, help_) if first else stray(token)


def _defined(line: list[Token]) -> bool:
    """Whether an equals sign follows the name of what the line begins, or its brackets."""
    depth = 0
    for token in line[1:]:
        depth += (token.type == "LPAR") - (token.type == "RPAR")
        if token.type == "EQUAL" and not depth:
            return True
    return False
