"""The decorator `cached_method` keeps the results of a method with their object."""

import pytest

from odenet.derive.cached_method import cached_method


class Calculator:
    def __init__(self):
        self.calls = []

    @cached_method
    def double(self, number: int) -> int:
        self.calls.append(number)
        return 2 * number if number >= 0 else 1 // 0

    @cached_method
    def factorial(self, number: int) -> int:
        return number * self.factorial(number - 1) if number else 1


def test_a_result_is_computed_once_for_each_object_and_argument():
    one, other = Calculator(), Calculator()
    assert [one.double(3), one.double(3), one.double(4), other.double(3)] == [6, 6, 8, 6]
    assert (one.calls, other.calls) == ([3, 4], [3])


def test_results_may_need_others_and_errors_are_not_kept():
    calculator = Calculator()
    assert calculator.factorial(10) == 3628800
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            calculator.double(-1)
    assert calculator.calls == [-1, -1]
