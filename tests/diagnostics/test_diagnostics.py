"""Diagnostics as text with an underlined piece of the source, as JSON, and their order."""

import pytest

from odenet.diagnostics import Diagnostic, Report, Source, Span, SpecError, render, suggest

PLACE, SOURCE_LINE, UNDERLINE = 1, 2, 3  # indices of lines among `rendered_lines`


def rendered_lines(text, start, end, **fields):
    """The lines of the message for a diagnostic about `text[start:end]`, with further fields."""
    return render(
        Diagnostic("syntax", "wrong", Span(Source("a.ode", text), start, end), **fields)
    ).splitlines()


def test_a_frame_underlines_the_piece_and_shows_the_help():
    assert rendered_lines("state Y\nY' = K Y\n", 13, 14, label="here", help="one\ntwo") == [
        "error[syntax]: wrong",
        "  ┌─ a.ode:2:6",
        "2 │ Y' = K Y",
        "  │      ^ here",
        "  = help: one",
        "  = help: two",
    ]


def test_a_frame_without_a_place_names_the_file():
    assert (
        render(Diagnostic("syntax", "wrong", file="a.ode", help="x"))
        == "error[syntax]: wrong\n  ┌─ a.ode\n  = help: x"
    )


def test_tabs_wide_letters_and_combining_marks_keep_the_underline_in_place():
    assert rendered_lines("\tY Z", 3, 4)[UNDERLINE] == "  │ \t  ^"
    assert rendered_lines("語 Z", 2, 3)[UNDERLINE] == "  │    ^"
    assert rendered_lines("e\u0301 Z", 3, 4)[UNDERLINE] == "  │   ^"


def test_a_piece_over_several_lines_is_underlined_to_the_end_of_the_first():
    assert rendered_lines("f(a\nb)", 1, 6)[UNDERLINE] == "  │  ^^"


def test_a_piece_at_the_end_of_the_file_gets_one_caret():
    assert rendered_lines("abc", 3, 3)[UNDERLINE] == "  │    ^"


def test_line_numbers_of_two_digits_widen_the_margin():
    assert rendered_lines("\n" * 9 + "abc", 9, 10)[PLACE] == "   ┌─ a.ode:10:1"


def test_control_and_invisible_characters_are_shown_as_replacement_characters():
    assert rendered_lines("a\x1b[31m\u200b b", 8, 9)[SOURCE_LINE:] == [
        "1 │ a\ufffd[31m\ufffd b",
        "  │         ^",
    ]


def test_windows_line_ends_are_not_shown():
    assert rendered_lines("abc\r\nd", 0, 1)[SOURCE_LINE] == "1 │ abc"


def test_diagnostics_are_sorted_by_their_places_and_repeated_ones_are_dropped():
    first_file, second_file = Source("a.ode", "abcd"), Source("b.ode", "abcd")
    report = Report()
    report.error("syntax", "third", Span(first_file, 3, 4))
    report.error("syntax", "fourth", Span(second_file, 0, 1))
    report.error("syntax", "second", Span(first_file, 1, 2))
    report.error("syntax", "second", Span(first_file, 1, 2))
    report.error("syntax", "first", None)
    assert [d.message for d in report.diagnostics] == ["first", "second", "third", "fourth"]


def test_warnings_alone_raise_no_error():
    report = Report()
    report.add(Diagnostic("unused-name", "odd", severity="warning"))
    report.raise_if_errors()
    report.error("syntax", "wrong", None)
    with pytest.raises(SpecError) as caught:
        report.raise_if_errors()
    assert len(caught.value.diagnostics) == 2  # the warning is among them


def test_a_diagnostic_as_json_says_where_and_what():
    span = Span(Source("a.ode", "state Y\nZ"), 8, 9)
    assert Diagnostic("syntax", "wrong", span, "fix", label="here").to_json() == {
        "severity": "error", "code": "syntax", "message": "wrong", "label": "here", "help": "fix",
        "file": "a.ode", "line": 2, "column": 1, "text": "Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("verlte", "verlet"), ("K2", ""), ("wholly", ""), ("Q", ""), ("", "")],
)
def test_only_a_similar_name_is_suggested(name, suggestion):
    assert suggest(name, ["verlet", "midpoint", "K1"]) == (
        f"did you mean `{suggestion}`?" if suggestion else ""
    )
