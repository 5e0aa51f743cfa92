"""The highlighter colours every specification, by the words of the grammar and the tables."""

from pathlib import Path

from pygments.token import Error, Keyword, Name

from odenet.highlight import OdeLexer, builtins
from odenet.language.lexer import grammar_text
from odenet.language.token_patterns import keywords

ROOT = Path(__file__).parents[2]


def test_the_keywords_are_the_words_of_the_grammar():
    assert {"state", "param", "discretise", "scheme", "shared", "exact"} <= set(keywords())
    assert all(f'"{word}"' in grammar_text() for word in keywords())


def test_every_character_of_a_specification_is_highlighted_without_errors():
    for spec in (ROOT / "specs").glob("*.ode"):
        text = spec.read_text()
        tokens = list(OdeLexer(stripnl=False, ensurenl=False).get_tokens(text))
        assert "".join(part for _, part in tokens) == text
        assert not [part for kind, part in tokens if kind is Error], spec.name


def test_names_of_the_language_are_coloured_differently_from_those_of_the_author():
    kinds = dict(map(reversed, OdeLexer().get_tokens("param mine : conv(3)\nY' = tanh(mine Y)\n")))
    assert kinds["param"] is Keyword and kinds["mine"] is Name
    assert kinds["conv"] is kinds["tanh"] is Name.Builtin
    assert {"verlet", "relu", "flow", "reversible"} <= builtins()
