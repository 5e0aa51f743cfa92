"""Generated lines are broken as ruff breaks them."""

from odenet.emit.layout import lay_out, string_literal


def test_a_short_line_is_only_indented():
    assert lay_out("a = b", indent=4) == ["    a = b"]


def test_a_long_call_has_one_argument_per_line():
    line = f"f({'a' * 40}, {'b' * 50})"
    assert lay_out(line, indent=0) == ["f(", f"    {'a' * 40},", f"    {'b' * 50},", ")"]


def test_arguments_that_fit_on_a_line_of_their_own_share_it():
    line = f"function({'a' * 40}, {'b' * 38})"
    assert lay_out(line, indent=4)[1] == f"        {'a' * 40}, {'b' * 38}"


def test_a_long_sum_is_returned_in_brackets_with_signs_first():
    line = f"return {'a' * 50} + {'b' * 50} - {'c' * 3}"
    assert lay_out(line, indent=0)[0] == "return ("
    assert [part.strip()[:2] for part in lay_out(line, indent=0)[2:-1]] == ["+ ", "- "]


def test_quotes_are_escaped():
    assert eval(string_literal('a "b" \\ c')) == 'a "b" \\ c'
