"""Answers that are kept with their object."""

import pytest

from odenet.derive.cached_method import cached_method


class Asked:
    def __init__(self):
        self.questions = []

    @cached_method
    def twice(self, number: int) -> int:
        self.questions.append(number)
        return 2 * number if number >= 0 else 1 // 0

    @cached_method
    def factorial(self, number: int) -> int:
        return number * self.factorial(number - 1) if number else 1


def test_an_answer_is_found_once_for_each_object_and_argument():
    one, other = Asked(), Asked()
    assert [one.twice(3), one.twice(3), one.twice(4), other.twice(3)] == [6, 6, 8, 6]
    assert (one.questions, other.questions) == ([3, 4], [3])


def test_answers_may_need_others_and_errors_are_not_kept():
    asked = Asked()
    assert asked.factorial(10) == 3628800
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            asked.twice(-1)
    assert asked.questions == [-1, -1]
