"""Written JSON is that of the standard: NaN and infinity, which it lacks, are written as null.

They are read by Python's own parser, which is set to refuse the names NaN and Infinity.
"""

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
    """The value with None in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [without_nonfinite(entry) for entry in value]
    if isinstance(value, dict):
        return {key: without_nonfinite(entry) for key, entry in value.items()}
    return value


@given(VALUES, st.sampled_from([None, 2]))
def test_written_values_are_standard_json_and_are_read_back_the_same(value, indent):
    text = to_json(value, indent)
    assert json.loads(text, parse_constant=reject_constant) == without_nonfinite(value)
    assert from_json(text) == without_nonfinite(value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_numbers_that_json_does_not_have_are_not_read(text):
    with pytest.raises(ValueError, match="is not JSON"):
        from_json(text)
