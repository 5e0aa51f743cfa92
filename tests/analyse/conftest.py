"""The fixture `judge` runs the checker of certificates."""

import pytest

from tests.analyse.certificates import Judge, judge_in


@pytest.fixture
def judge(tmp_path, capsys) -> Judge:
    """A function from a certificate to the checker's exit code and the last line that it prints."""
    return judge_in(tmp_path, capsys)
