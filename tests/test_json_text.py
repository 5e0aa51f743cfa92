import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odenet.json_text import from_json, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def reject_constant(constant):
    raise AssertionError(constant)


def without_nonfinite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nonfinite(entry) for entry in value]
    if isinstance(value, dict):
        return {key: without_nonfinite(entry) for key, entry in value.items()}
    return value


@given(VALUES, st.sampled_from([None, 2]))
def test_what_is_written_is_json_by_its_standard_and_the_same_but_for_what_it_cannot_say(
    value, indent
):
    text = to_json(value, indent)
    assert json.loads(text, parse_constant=reject_constant) == without_nonfinite(value)
    assert from_json(text) == without_nonfinite(value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_numbers_that_json_does_not_have_are_not_read(text):
    with pytest.raises(ValueError, match="is not JSON"):
        from_json(text)
