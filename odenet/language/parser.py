"""From text to the syntax tree. Every statement is parsed on its own: errors hide no others."""

from itertools import takewhile

from lark import Token, Tree
from lark.exceptions import UnexpectedToken

from odenet.diagnostics import Report, Source, Span
from odenet.language import tree
from odenet.language.builder import Builder
from odenet.language.lexer import BadToken, parser, span_of
from odenet.language.mistakes import Mistake, explain, explain_bad_token
from odenet.language.names import canonical
from odenet.language.statements import STATEMENT_WORDS, statements

VERSION = 1  # of the language, as in the line `odenet 1`
# The types of the first tokens of statements that declare names; an equation begins with a NAME.
_DECLARATION_STARTS = {"STATE", "AUX", "SHARED", "PARAM", "MAP", "LET", "SCHEME", "NAME"}


def parse(source: Source, report: Report) -> tree.File:
    """The syntax tree of a source.

    Where a line of a block `{ … }` has an error, the other lines are still checked.

    Args:
        source: the text.
        report: collects the syntax errors; a statement that has one is `Unparsed` in the tree.
    """
    builder = Builder(source, report)
    nodes: list[tree.Statement] = []
    for statement in statements(source):
        nodes += _parse_statement(statement, builder, report)
    return tree.File(tuple(nodes), span=Span(source, 0, len(source.text)))


def parse_setting(source: Source, report: Report) -> tree.Setting | None:
    """A single `key = value`, as on a command line; None after reporting what is wrong."""
    tokens = [token for statement in statements(source) for token in statement]
    tokens = [token for token in tokens if token.type != "_END"]  # the ends of its lines
    if comment := _find_comment(tokens, source):
        report.error("bad-setting", "a value from outside has no comment", comment, "leave it out")
        return None
    end_of_text = Token("$END", "", start_pos=len(source.text), end_pos=len(source.text) + 1)
    parsed = _parse_tokens([*tokens, end_of_text], "setting")
    if isinstance(parsed, Mistake):
        _report(parsed, source, report)
        return None
    return Builder(source, report).build(parsed)


def _find_comment(tokens: list[Token], source: Source) -> Span | None:
    """The first comment between or after the tokens of a setting, if there is one."""
    previous_end = 0
    spans = [(t.start_pos or 0, t.end_pos or 0) for t in tokens]
    for start, end in [*spans, (len(source.text), 0)]:
        start_of_comment = source.text.find("#", previous_end, start)
        if start_of_comment >= 0:
            return Span(source, start_of_comment, len(source.text))
        previous_end = end
    return None


def _parse_statement(tokens: list[Token], builder: Builder, report: Report) -> list[tree.Statement]:
    """Parse a statement; it is `Unparsed` in the result after reporting its error.

    The result has several where another statement begins on the same line, which is an error.
    """
    remaining, failed = tokens, False
    while isinstance(parsed := _parse_tokens(remaining, "file"), Mistake):
        failed = True
        _report(parsed, builder.source, report)
        line_range = _line_range(remaining, parsed.index)
        if line_range is not None:  # leave the line out, and check the others
            remaining = [*remaining[: line_range[0]], *remaining[line_range[1] :]]
        elif parsed.index and parsed.token.type in STATEMENT_WORDS and "_END" in parsed.accepts:
            end = Token.new_borrow_pos("_END", "\n", parsed.token)
            others = _parse_statement(remaining[parsed.index :], builder, report)
            return [*_parse_statement([*remaining[: parsed.index], end], builder, report), *others]
        else:
            return [_unparsed_statement(tokens, builder.source)]
    if failed and tokens[0].type != "TRAIN":  # a recipe still has a meaning without its wrong lines
        return [_unparsed_statement(tokens, builder.source)]
    return [builder.build(parsed.children[0])]


def _parse_tokens(statement: list[Token], start: str) -> Tree[Token | None] | Mistake:
    """The parse tree of a statement, or the first token that is out of place.

    `start` is the rule of grammar.lark that the tokens follow, `file` or `setting`.
    """
    machine = parser().parse_interactive(start=start)
    parsed = None
    for index, token in enumerate(statement):
        try:
            parsed = machine.feed_token(token)
        except UnexpectedToken:
            return Mistake(statement, index, machine.accepts(), start == "setting")
    return machine.feed_eof(statement[-1]) if parsed is None else parsed


def _report(mistake: Mistake, source: Source, report: Report) -> None:
    """Report a mistake: its token, or, if that is bad, all bad tokens of the statement."""
    explanation = (explain_bad_token if isinstance(mistake.token, BadToken) else explain)(mistake)
    if explanation is not None:
        code, (token, message, help_) = explanation
        report.error(code, message, span_of(token, source), help_)
        return
    for token in mistake.statement:
        if isinstance(token, BadToken) and token.message:
            report.error(token.code, token.message, span_of(token, source), token.help)


def _line_range(statement: list[Token], index: int) -> tuple[int, int] | None:
    """The range of tokens (start, end) that is the line of a block with the token of an index.

    None outside of a block `{ … }`.
    """
    types = [token.type for token in statement]
    if "LBRACE" not in types[:index] or "RBRACE" in types[:index]:
        return None
    ends = [i for i, kind in enumerate(types) if kind in ("LBRACE", "_END")]
    return max(i for i in ends if i < index) + 1, min(i for i in ends if i >= index) + 1


def _unparsed_statement(tokens: list[Token], source: Source) -> tree.Unparsed:
    """What is still known of a statement that could not be parsed."""
    kind = tokens[0].type
    head_ends = ("COLON", "EQUAL", "LBRACE", "LPAR")  # names before the first of these are declared
    head = list(takewhile(lambda token: token.type not in head_ends, tokens))
    mentions = tuple(canonical(t) for t in tokens if t.type == "NAME")
    declares = tuple(canonical(t) for t in head if t.type == "NAME" and kind in _DECLARATION_STARTS)
    span = span_of(tokens[0], source).to(span_of(tokens[-1], source))
    return tree.Unparsed(kind.lower(), declares, mentions, span=span)
