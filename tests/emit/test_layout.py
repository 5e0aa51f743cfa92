"""Generated lines are broken as ruff breaks them."""

from odenet.emit.layout import lay_out, string_literal


def test_a_short_line_stays():
    assert lay_out("a = b", 4) == ["    a = b"]


def test_a_long_call_takes_an_item_a_line():
    line = f"f({'a' * 40}, {'b' * 50})"
    assert lay_out(line, 0) == ["f(", f"    {'a' * 40},", f"    {'b' * 50},", ")"]


def test_a_call_whose_inside_fits_is_indented_once():
    line = f"function({'a' * 40}, {'b' * 38})"
    assert lay_out(line, 4)[1] == f"        {'a' * 40}, {'b' * 38}"


def test_a_long_sum_is_returned_in_brackets_with_signs_first():
    line = f"return {'a' * 50} + {'b' * 50} - {'c' * 3}"
    assert lay_out(line, 0)[0] == "return ("
    assert [part.strip()[:2] for part in lay_out(line, 0)[2:-1]] == ["+ ", "- "]


def test_quotes_are_escaped():
    assert eval(string_literal('a "b" \\ c')) == 'a "b" \\ c'
