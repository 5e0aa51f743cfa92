"""The stored parse tables belong to the grammar; tables of another grammar are not used."""

import json
from pathlib import Path

import pytest

from odenet.language import parse_tables
from odenet.language.lexer import grammar_text

SPECS = Path(__file__).parents[2] / "specs"


def test_the_tables_are_those_of_the_grammar(request):
    if request.config.getoption("--update-golden"):
        parse_tables.TABLES_FILE.write_text(
            parse_tables.dump_tables(grammar_text()) + "\n", encoding="utf-8"
        )
    stored_key = json.loads(parse_tables.TABLES_FILE.read_text(encoding="utf-8"))["key"]
    # A key is the version of lark and a hash of the grammar.
    stored_hash, grammar_hash = (
        key.split()[-1] for key in (stored_key, parse_tables.tables_key(grammar_text()))
    )
    assert stored_hash == grammar_hash, "run pytest --update-golden"


@pytest.mark.parametrize("spec", ["hamiltonian", "lista", "transformer"])
def test_both_parsers_read_a_file_alike(spec):
    restored = parse_tables.load_parser(grammar_text())
    if restored is None:
        pytest.skip("the tables were made by another lark")
    built = parse_tables.build_parser(grammar_text())
    text = (SPECS / f"{spec}.ode").read_text(encoding="utf-8")
    restored_tokens, built_tokens = (list(parser.lex(text)) for parser in (restored, built))
    assert restored_tokens == built_tokens
    assert [t.type for t in restored_tokens] == [t.type for t in built_tokens]
    for setting in ("h = 1/2 a (b + c)^2", 'data = folder("x")', "at = [80, 120]"):
        trees = [parser.parse(setting, start="setting") for parser in (restored, built)]
        assert trees[0] == trees[1] and trees[0].meta.end_pos == trees[1].meta.end_pos


def test_tables_of_another_grammar_are_not_used():
    assert parse_tables.load_parser(grammar_text() + "\n") is None
