"""A line of a file as a list of tokens, the unit in which the formatter works."""

from dataclasses import dataclass, field

from lark import Token


@dataclass
class Line:
    """A line of a file.

    Args:
        tokens: its tokens, none on a line that is only a comment.
        comment: the comment at its end, empty if there is none.
        comment_column: the column where the comment began in the source.
        blank_before: whether an empty line comes before it.
        is_continuation: whether it continues the statement of the line before.
        block: the token type of the word that begins its block, TRAIN or SCHEME; empty outside.
        depth: how many brackets are open before it.
        spaces: how many spaces come before each token; empty until the formatter sets it.
    """

    tokens: list[Token]
    comment: str = ""
    comment_column: int = 0
    blank_before: bool = False
    is_continuation: bool = False
    block: str = ""
    depth: int = 0
    spaces: list[int] = field(default_factory=list[int])

    def text(self) -> str:
        """The tokens with their spaces, without indentation."""
        pairs = zip(self.spaces, self.tokens, strict=True)
        return "".join(" " * space + str(token) for space, token in pairs)

    def token_types(self) -> list[str]:
        """The types of its tokens."""
        return [token.type for token in self.tokens]
