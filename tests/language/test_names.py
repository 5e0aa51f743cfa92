"""Spellings of names: Greek letters and subscripts have ASCII forms, look-alikes are confusable."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odenet.language.names import GREEK, canonical, confusable
from tests.language.spec_texts import parse_text

LETTERS = st.sampled_from("aKxYνvσςϵεµμℎ𝐘ΚΑΒρoO₁1_λλ")
NAMES = st.builds(
    lambda first, rest: first + rest, st.sampled_from("aKYνvσϵεµμΚ"), st.text(LETTERS, max_size=4)
)


@pytest.mark.parametrize(("letter", "name"), GREEK.items())
def test_a_greek_letter_and_its_english_name_are_one_name(letter, name):
    assert canonical(letter) == name
    assert canonical(letter.upper()) == name.capitalize()
    assert parse_text(f"let {letter}1 = 2") == parse_text(f"let {name}1 = 2")


@pytest.mark.parametrize(
    "first_name, second_name", [("K₁", "K1"), ("K₁₀", "K10"), ("ς", "σ"), ("σ₂", "sigma2")]
)
def test_documented_spellings_are_one_name(first_name, second_name):
    assert canonical(first_name) == canonical(second_name)


@pytest.mark.parametrize(
    "first_name, second_name",
    [
        ("ϵ", "ε"),
        ("µ", "μ"),
        ("𝐘", "Y"),
        ("ℎ", "h"),
        ("Κ", "K"),
        ("ν", "v"),
        ("ο", "o"),
        ("Aρ", "Ap"),
    ],
)
def test_letters_that_no_reader_can_tell_apart_are_confusable(first_name, second_name):
    assert confusable(first_name, second_name) and confusable(second_name, first_name)


@pytest.mark.parametrize(
    "first_name, second_name", [("K₁", "K1"), ("σ", "sigma"), ("K1", "K2"), ("a", "b")]
)
def test_other_names_are_not_confusable(first_name, second_name):
    assert not confusable(first_name, second_name)


@given(NAMES)
def test_the_canonical_form_is_ascii_and_its_own_canonical_form(name):
    canonical_name = canonical(name)
    assert canonical_name.isascii() and canonical_name.isidentifier()
    assert canonical(canonical_name) == canonical_name


@given(NAMES, NAMES)
def test_names_that_python_would_merge_have_the_same_canonical_form(first_name, second_name):
    if unicodedata.normalize("NFKC", first_name) == unicodedata.normalize("NFKC", second_name):
        assert canonical(first_name) == canonical(second_name)


@given(NAMES, NAMES)
def test_being_confusable_is_symmetric_and_only_of_different_names(first_name, second_name):
    if confusable(first_name, second_name):
        assert first_name != second_name
        assert confusable(second_name, first_name)


@given(NAMES)
def test_a_name_is_parsed_to_its_spelling_and_its_canonical_form(name):
    (let,) = parse_text(f"let {name} = 1").statements
    assert (let.name.spelling, let.name.id) == (name, canonical(name))
