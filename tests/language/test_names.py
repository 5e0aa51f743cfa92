import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odenet.language.names import GREEK, canonical, confusable
from tests.language.texts import tree_of

LETTERS = st.sampled_from("aKxYνvσςϵεµμℎ𝐘ΚΑΒρoO₁1_λλ")
NAMES = st.builds(
    lambda first, rest: first + rest, st.sampled_from("aKYνvσϵεµμΚ"), st.text(LETTERS, max_size=4)
)


@pytest.mark.parametrize(("letter", "name"), GREEK.items())
def test_a_greek_letter_and_its_english_name_are_one_name(letter, name):
    assert canonical(letter) == name
    assert canonical(letter.upper()) == name.capitalize()
    assert tree_of(f"let {letter}1 = 2") == tree_of(f"let {name}1 = 2")


@pytest.mark.parametrize("one, other", [("K₁", "K1"), ("K₁₀", "K10"), ("ς", "σ"), ("σ₂", "sigma2")])
def test_documented_spellings_are_one_name(one, other):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    "one, other",
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
def test_letters_that_no_reader_can_tell_apart_are_confusable(one, other):
    assert confusable(one, other) and confusable(other, one)


@pytest.mark.parametrize("one, other", [("K₁", "K1"), ("σ", "sigma"), ("K1", "K2"), ("a", "b")])
def test_other_names_are_not(one, other):
    assert not confusable(one, other)


@given(NAMES)
def test_the_canonical_name_is_plain_ascii_and_stays(name):
    once = canonical(name)
    assert once.isascii() and once.isidentifier()
    assert canonical(once) == once


@given(NAMES, NAMES)
def test_names_that_python_would_merge_are_one_name_or_confusable(one, other):
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        assert canonical(one) == canonical(other)
    if confusable(one, other):
        assert one != other
        assert confusable(other, one)


@given(NAMES)
def test_every_spelling_reads_back_as_one_name(name):
    (let,) = tree_of(f"let {name} = 1").statements
    assert (let.name.spelling, let.name.id) == (name, canonical(name))
