"""Tables that are seen together."""

import pytest

from odenet.model.tables.choices import MappedTables


def test_a_view_has_the_rows_of_its_tables_in_order_and_those_added_later():
    one, other = {"b": 1, "a": 2}, {"c": 3}
    seen = MappedTables(lambda row: 10 * row, one, other)
    assert dict(seen) == {"b": 10, "a": 20, "c": 30} and list(seen) == ["b", "a", "c"]
    one["d"] = 4
    assert seen["d"] == 40 and len(seen) == 4 and "e" not in seen and seen.get("e") is None
    with pytest.raises(KeyError):
        seen["e"]
