"""Fixtures of the tests of proofs."""

import pytest

from tests.analyse.certificates import Judge, judge_in


@pytest.fixture
def judge(tmp_path, capsys) -> Judge:
    """Gives the exit code and the last line of the checker."""
    return judge_in(tmp_path, capsys)
