import json
import re
from pathlib import Path

import pytest

from odenet.editor.completion import completions
from odenet.editor.document import Document
from odenet.editor.grammar import textmate
from odenet.editor.hover import hover
from odenet.language.token_patterns import keywords
from odenet.model.elaboration.library import library_names
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.recipe import recipe_keys

ROOT = Path(__file__).parents[2]
GRAMMAR = ROOT / "editors" / "vscode" / "syntaxes" / "ode.tmLanguage.json"
DIGITS = (ROOT / "specs" / "digits.ode").read_text()


def proposed(text):
    lines = text.split("\n")
    return {p.text for p in completions(Document("a.ode", text), len(lines) - 1, len(lines[-1]))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"state", "param", "discretise", "net", "train"}),
        ("discretise v", set(library_names())),
        ("scheme own {\n    for Y' = F(Y)\n}\ndiscretise ", {"own", "verlet"}),
        ("discretise verlet(h = 1) ", {"exact", "start"}),
        ("require ", set(CLAIMS)),
        ("shared param K : c", set(PARAMETERS)),
        ("net = ", {"input", "tokens", *LAYERS}),
        ("map f = bn -> relu\nnet = input(1, 8, 8) -> ", {"f", "flow", "unit", *LAYERS}),
        ("state Y\nparam K₁ : dense\nY' = ", {"Y", "K₁", "tanh"}),
        ("train {\n    e", set(recipe_keys())),
        ("train {\n    optimizer = ", {"sgd", "adam", "adamw"}),
        ("train {\n    augment = [fl", {"flip", "pad_crop"}),
    ],
)
def test_what_can_come_next_depends_on_the_place(text, expected):
    assert expected <= proposed(text)


@pytest.mark.parametrize("text", ["# a comment ", '"a description ', "let n = 4 # s"])
def test_nothing_is_proposed_inside_comments_and_texts(text):
    assert proposed(text) == set()


def test_words_that_begin_no_statement_are_not_proposed_there():
    assert not {"exact", "for", "start", "aux"} & proposed("")


def shown(text, piece):
    before = text[: text.index(piece)]
    found = hover(Document("a.ode", text), before.count("\n"), len(before.rpartition("\n")[2]))
    return found[0] if found else ""


def test_hover_says_what_a_word_is_where_it_is():
    assert "type of `param`" in shown(DIGITS, "conv(3)")
    assert "(1, 8, 8) → (32, 8, 8)" in shown(DIGITS, "conv(3, 32)")
    assert "= 4" in shown(DIGITS, "n = 4")
    assert "learned parameter" in shown(DIGITS, "K2 Y")
    assert "one of adam, adamw, sgd" in shown(DIGITS, "optimizer")
    assert "`state Y, Z`" in shown(DIGITS, "state")
    assert "claim" in shown(DIGITS, "imaginary")
    assert shown("# state\n", "state") == ""


def test_names_are_found_in_used_files_and_in_schemes(tmp_path):
    (tmp_path / "more.ode").write_text(
        "state X\nlet gain = 2\nscheme mine {\n    for Y' = F(Y)\n    Y[n+1] = Y[n] + h F(Y[n])\n}\n"
    )
    text = (
        "use \"more.ode\"\nstate Y\nY' = gain Y - X\nscheme s {\n    for Y' = F(Y)\n"
        "    k1 = F(Y[n])\n    Y[n+1] = Y[n] + h k1\n}\n"
    )
    document = Document(str(tmp_path / "one.ode"), text)
    found = document.definition(document.word(2, 5))
    assert Path(found.span.source.name).name == "more.ode" and found.span.text == "gain"
    assert document.definition(document.word(2, 14)) is None  # `use` brings no states
    stage = document.definition(document.word(6, 22))
    assert (stage.kind, stage.span.line) == ("stage of the step", 6)
    document = Document(str(tmp_path / "one.ode"), f"{text}discretise \nY' = ")
    assert {"s", "mine"} <= {p.text for p in completions(document, 8, 11)}
    assert {"Y", "gain"} <= {p.text for p in completions(document, 9, 5)}
    assert "X" not in {p.text for p in completions(document, 9, 5)}


def test_what_a_used_file_now_says_counts(tmp_path):
    other = tmp_path / "more.ode"
    text = 'use "more.ode"\nstate Y\nY\' = gain Y\ndiscretise rk4(h = 0.1)\n'
    for said, wrong in (("let gain = 2\n", 0), ("let gane = 2\n", 1), ("let gain = 2\n", 0)):
        other.write_text(said)
        assert len(Document(str(tmp_path / "one.ode"), text).problems()) == wrong


def test_the_grammar_of_editors_is_that_of_the_language(request):
    if request.config.getoption("--update-golden"):
        GRAMMAR.write_text(textmate(), encoding="utf-8")
    assert GRAMMAR.read_text(encoding="utf-8") == textmate()


def test_the_grammar_colours_what_it_should():
    rules = [
        (r["name"], re.compile(r["match"], re.ASCII))  # as to editors, ₁ is no part of a word
        for r in json.loads(textmate())["patterns"]
    ]

    def scope(text):
        return next(name for name, rule in rules if rule.match(text)).split(".")[0]

    assert {scope(word) for word in keywords()} == {"keyword"}
    assert {scope(word + "₁") for word in keywords()} == {"variable"}
    assert [scope(t) for t in ("# a", '"a"', "K₁", "tanh(Y)", "1e-3", "->", "states")] == [
        "comment", "string", "variable", "entity", "constant", "keyword", "variable",
    ]  # fmt: skip


def test_the_extension_names_files_that_are_there():
    folder = ROOT / "editors" / "vscode"
    package = json.loads((folder / "package.json").read_text())
    shared = package["contributes"]
    named = [
        package["main"],
        shared["languages"][0]["configuration"],
        shared["grammars"][0]["path"],
    ]
    assert all((folder / name).is_file() for name in named)
    json.loads((folder / "language-configuration.json").read_text())
