"""What odenet uses of lark, whose own annotations leave most results unknown."""

from collections.abc import Iterable
from typing import Any, Generic, Self, TypeVar

from lark.grammar import Rule
from lark.lexer import LexerThread, TerminalDef

_Leaf = TypeVar("_Leaf")

__version__: str

class Token(str):
    type: str
    value: Any
    start_pos: int | None
    end_pos: int | None
    def __new__(
        cls, type: str, value: str, start_pos: int | None = ..., *, end_pos: int | None = ...
    ) -> Self: ...
    @classmethod
    def new_borrow_pos(cls, type_: str, value: str, borrow_t: Token) -> Token: ...

class Meta:
    empty: bool
    start_pos: int
    end_pos: int

class Tree(Generic[_Leaf]):
    data: str
    children: list[_Leaf | Tree[_Leaf]]
    @property
    def meta(self) -> Meta: ...

class InteractiveParser:
    lexer_thread: LexerThread
    def accepts(self) -> set[str]: ...
    def feed_eof(self, last_token: Token) -> Tree[Token | None]: ...
    def feed_token(self, token: Token) -> Tree[Token | None] | None: ...

class Lark:
    terminals: list[TerminalDef]
    def __init__(
        self,
        grammar: str,
        *,
        parser: str,
        lexer: str,
        start: list[str],
        strict: bool = ...,
        propagate_positions: bool = ...,
    ) -> None: ...
    def _load(self, f: dict[str, Any]) -> Lark: ...
    def memo_serialize(
        self, types_to_memoize: Iterable[type[Rule | TerminalDef]]
    ) -> tuple[Any, Any]: ...
    def parse_interactive(
        self, text: str | None = ..., start: str | None = ...
    ) -> InteractiveParser: ...
