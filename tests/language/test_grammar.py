"""The grammar has no conflicts, and every terminal and keyword has a name for messages."""

import importlib

import pytest

from odenet.language.lexer import grammar_text, parser
from odenet.language.messages import TERMINALS, terminal_name
from odenet.language.mistakes import FORMS
from odenet.language.statements import BLOCK_WORDS, STATEMENT_WORDS


@pytest.fixture
def check_grammar():
    """The module that checks the grammar; skipped without the package interegular.

    The test environment leaves it out: with it lark compares all tokens at every start, which takes
    half a second.
    """
    pytest.importorskip(
        "interegular", reason="CI runs odenet.language.check_grammar as a step of its own"
    )
    return importlib.import_module("odenet.language.check_grammar")


def terminals():
    """The terminals of the grammar by their names."""
    return {terminal.name: terminal for terminal in parser().terminals}


def keywords():
    """The names of the terminals that match one fixed word."""
    words = {
        name: terminal.pattern.value
        for name, terminal in terminals().items()
        if terminal.pattern.type == "str"
    }
    return {name for name, text in words.items() if text.isascii() and text.isalpha()}


def test_the_grammar_has_no_conflict(check_grammar, capsys):
    assert check_grammar.main() == 0
    assert "no conflict" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("?expr: sum", "?expr: sum | term"),
        ("_atom: NUMBER", "WORD: /[A-Z]+/\n_atom: WORD | NUMBER"),
    ],
)
def test_the_strict_check_finds_conflicts_of_rules_and_of_tokens(check_grammar, old, new):
    assert "ollision" in check_grammar.conflicts(grammar_text().replace(old, new))


def test_every_terminal_has_a_name_for_messages():
    ignored = {"COMMENT", "BLANK"}  # terminals that the parser skips
    assert set(terminals()) - keywords() - ignored == set(TERMINALS) - {"$END"}


def test_a_keyword_is_named_by_itself():
    assert all(terminal_name(name) == f"`{terminals()[name].pattern.value}`" for name in keywords())


def test_every_keyword_is_listed_and_every_statement_has_a_form_for_messages():
    assert keywords() == STATEMENT_WORDS | BLOCK_WORDS | {"EXACT"}
    assert set(FORMS) == STATEMENT_WORDS | {"LET"}
