"""Completion, hover, definitions and the TextMate grammar of the editor support."""

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
DIGITS_SPEC = (ROOT / "specs" / "digits.ode").read_text()


def completion_texts(text):
    """The proposals at the end of a text."""
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
def test_proposals_depend_on_the_text_before_the_cursor(text, expected):
    assert expected <= completion_texts(text)


@pytest.mark.parametrize("text", ["# a comment ", '"a description ', "let n = 4 # s"])
def test_nothing_is_proposed_inside_comments_and_texts(text):
    assert completion_texts(text) == set()


def test_words_that_begin_no_statement_are_not_proposed_at_the_beginning_of_one():
    assert not {"exact", "for", "start", "aux"} & completion_texts("")


def hover_text(text, piece):
    """The hover text at the first occurrence of a piece of the text."""
    before = text[: text.index(piece)]
    answer = hover(Document("a.ode", text), before.count("\n"), len(before.rpartition("\n")[2]))
    if answer is None:
        return ""
    explanation, _ = answer
    return explanation


def test_hover_explains_a_word_by_its_place():
    assert "type of `param`" in hover_text(DIGITS_SPEC, "conv(3)")
    assert "(1, 8, 8) → (32, 8, 8)" in hover_text(DIGITS_SPEC, "conv(3, 32)")
    assert "= 4" in hover_text(DIGITS_SPEC, "n = 4")
    assert "learned parameter" in hover_text(DIGITS_SPEC, "K2 Y")
    assert "one of adam, adamw, sgd" in hover_text(DIGITS_SPEC, "optimizer")
    assert "`state Y, Z`" in hover_text(DIGITS_SPEC, "state")
    assert "claim" in hover_text(DIGITS_SPEC, "imaginary")
    assert hover_text("# state\n", "state") == ""


def test_names_are_found_in_used_files_and_in_schemes(tmp_path):
    (tmp_path / "more.ode").write_text(
        "state X\nlet gain = 2\nscheme mine {\n    for Y' = F(Y)\n    Y[n+1] = Y[n] + h F(Y[n])\n}\n"
    )
    text = (
        "use \"more.ode\"\nstate Y\nY' = gain Y - X\nscheme s {\n    for Y' = F(Y)\n"
        "    k1 = F(Y[n])\n    Y[n+1] = Y[n] + h k1\n}\n"
    )
    document = Document(str(tmp_path / "one.ode"), text)
    # lines and columns count from 0
    definition = document.definition(document.word(line=2, column=5))  # `gain`
    assert Path(definition.span.source.name).name == "more.ode" and definition.span.text == "gain"
    # `X`, a state of the used file: `use` brings no states
    assert document.definition(document.word(line=2, column=14)) is None
    stage = document.definition(document.word(line=6, column=22))  # `k1`
    assert (stage.kind, stage.span.line) == ("stage of the step", 6)
    document = Document(str(tmp_path / "one.ode"), f"{text}discretise \nY' = ")
    assert {"s", "mine"} <= {p.text for p in completions(document, line=8, column=11)}
    in_equation = {p.text for p in completions(document, line=9, column=5)}
    assert {"Y", "gain"} <= in_equation and "X" not in in_equation


def test_a_used_file_is_read_again_after_it_has_changed(tmp_path):
    used_file = tmp_path / "more.ode"
    text = 'use "more.ode"\nstate Y\nY\' = gain Y\ndiscretise rk4(h = 0.1)\n'
    for content, problem_count in (
        ("let gain = 2\n", 0),
        ("let misspelt = 2\n", 1),
        ("let gain = 2\n", 0),
    ):
        used_file.write_text(content)
        assert len(Document(str(tmp_path / "one.ode"), text).problems()) == problem_count


def test_the_grammar_of_editors_is_that_of_the_language(request):
    if request.config.getoption("--update-golden"):
        GRAMMAR.write_text(textmate(), encoding="utf-8")
    assert GRAMMAR.read_text(encoding="utf-8") == textmate()


def test_the_grammar_colours_what_it_should():
    rules = [
        # ASCII, since for editors, too, ₁ is not a part of a word.
        (r["name"], re.compile(r["match"], re.ASCII))
        for r in json.loads(textmate())["patterns"]
    ]

    def scope(text):
        """The first part of the TextMate scope at the beginning of a text, such as "keyword"."""
        return next(name for name, rule in rules if rule.match(text)).split(".")[0]

    assert {scope(word) for word in keywords()} == {"keyword"}
    assert {scope(word + "₁") for word in keywords()} == {"variable"}
    assert [scope(t) for t in ("# a", '"a"', "K₁", "tanh(Y)", "1e-3", "->", "states")] == [
        "comment", "string", "variable", "entity", "constant", "keyword", "variable",
    ]  # fmt: skip


def test_the_files_that_the_extension_names_exist():
    folder = ROOT / "editors" / "vscode"
    package = json.loads((folder / "package.json").read_text())
    contributes = package["contributes"]
    paths = [
        package["main"],
        contributes["languages"][0]["configuration"],
        contributes["grammars"][0]["path"],
    ]
    assert all((folder / name).is_file() for name in paths)
    json.loads((folder / "language-configuration.json").read_text())
