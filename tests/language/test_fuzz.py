"""A damaged specification is accepted, or refused with a message and a place within the text."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.compiler import loads
from odenet.diagnostics import Source, SpecError
from tests.language.spec_texts import VALID_TEXTS

TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
WORDS = sorted({token for text in VALID_TEXTS for token in TOKEN.findall(text)})
CHARACTERS = "abKYZσ0129.+-*/^'\"()[]{}=:,\n#->ᵀ_ ²é\t\r\0𝐘₁;\\\u0301\ufeff"


@st.composite
def damaged_texts(draw):
    """A valid text with a few characters or words deleted, inserted, replaced or swapped."""
    text = draw(st.sampled_from(VALID_TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        whole_words = draw(st.booleans())
        tokens = TOKEN.findall(text) if whole_words else list(text)
        insertion = draw(st.sampled_from(WORDS) if whole_words else st.sampled_from(CHARACTERS))
        i, j = sorted(draw(st.integers(0, max(len(tokens) - 1, 0))) for _ in range(2))
        match draw(st.sampled_from(["delete", "insert", "replace", "swap", "cut"])):
            case "delete":
                del tokens[i : i + 1]
            case "insert":
                tokens.insert(i, insertion)
            case "replace":
                tokens[i : i + 1] = [insertion]
            case "swap" if tokens:
                tokens[i], tokens[j] = tokens[j], tokens[i]
            case "cut":
                del tokens[i:j]
        text = "".join(tokens)
    return text


@settings(max_examples=250)
@given(damaged_texts())
def test_a_damaged_text_is_accepted_or_refused_with_a_place(text):
    source = Source("test.ode", text)
    try:
        loads(text, name=source.name)
    except SpecError as error:
        assert error.diagnostics and str(error)
        for diagnostic in error.diagnostics:
            span = diagnostic.span
            if span is not None and span.source == source:
                assert (
                    0 <= span.start < span.end <= len(text) + 1
                )  # the end of the text counts as a character
                assert 1 <= span.column <= len(source.line(span.line)) + 1


@settings(max_examples=60)
@given(st.text(st.sampled_from(CHARACTERS), max_size=60))
def test_a_random_text_is_accepted_or_refused(text):
    try:
        loads(text)
    except SpecError as error:
        assert str(error)
