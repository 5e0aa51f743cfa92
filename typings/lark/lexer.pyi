"""Tokens and their definitions, as lark has them."""

from collections.abc import Iterator

from lark import Token

class Pattern:
    value: str
    def to_regexp(self) -> str: ...

class PatternStr(Pattern): ...

class TerminalDef:
    name: str
    pattern: Pattern

class LexerThread:
    def lex(self, parser_state: None) -> Iterator[Token]: ...
