"""From text to the syntax tree."""

from lark import Token
from lark.exceptions import UnexpectedToken

from odenet.diagnostics import Report, Source, Span
from odenet.language import messages, tree
from odenet.language.build import Builder
from odenet.language.lexer import parser, statements


def parse(source: Source, report: Report) -> tree.File:
    """The syntax tree of a source.

    Every statement is parsed on its own, so that one with an error hides no other.

    Args:
        source: the text.
        report: takes the syntax errors; statements that have one are left out of the tree.
    """
    builder = Builder(source)
    found = [
        statement
        for tokens in statements(source, report)
        if (statement := _parse_statement(tokens, builder, report)) is not None
    ]
    return tree.File(tuple(found), span=Span(source, 0, len(source.text)))


def _parse_statement(tokens: list[Token], builder: Builder, report: Report):
    """One statement's node, or None after reporting why there is none."""
    machine = parser().parse_interactive()
    before = None
    for token in tokens:
        try:
            machine.feed_token(token)
        except UnexpectedToken:
            at, message, help_ = messages.unexpected(token, before, machine.accepts())
            report.error(message, _place(builder.source, at), help=help_)
            return None
        before = token
    parsed = machine.feed_eof(tokens[-1])
    return builder.build(parsed.children[0])


def _place(source: Source, token: Token) -> Span:
    """Where a token stands; a line's end is one character wide."""
    length = 1 if token.type == "_END" else len(token)
    return Span(source, token.start_pos, token.start_pos + length)
