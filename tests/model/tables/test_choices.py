"""A read-only view on several tables at once."""

import pytest

from odenet.model.tables.choices import MappedTables


def test_a_view_has_the_rows_of_its_tables_in_order_and_those_added_later():
    first, second = {"b": 1, "a": 2}, {"c": 3}
    view = MappedTables(lambda row: 10 * row, first, second)
    assert dict(view) == {"b": 10, "a": 20, "c": 30} and list(view) == ["b", "a", "c"]
    first["d"] = 4
    assert view["d"] == 40 and len(view) == 4 and "e" not in view and view.get("e") is None
    with pytest.raises(KeyError):
        view["e"]
