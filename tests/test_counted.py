"""Counts are written with the right number of the noun."""

import pytest

from odenet.counted import counted


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bits"),
        (1, "1 bit"),
        (2, "2 bits"),
        (1000, "1,000 bits"),
        (1.0, "1 bit"),
        (2.3219, "2.32 bits"),
    ],
)
def test_only_one_thing_is_singular(count, text):
    assert counted(count, "bit") == text
