"""`odenet report` and `odenet watch` as a user runs them."""

import pytest
import typer
from typer.testing import CliRunner

from odenet.cli import reporting
from odenet.diagnostics import SpecError

from .conftest import SPEC
from .html_checks import check_page

APP = typer.Typer()  # with two commands, as one alone would not be named in calls
APP.command("report")(reporting.report)
APP.command("watch")(reporting.watch)


def odenet(*arguments, code=0):
    """Run a command; its output. Errors about the user's input come out as SpecError."""
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.ode").write_text(SPEC)
    return tmp_path / "small.ode"


def test_the_page_of_a_file_is_named_like_it_and_may_be_written_again(spec):
    assert odenet("report", "small.ode", "--set", "h=0.25").endswith("wrote small.html\n")
    page = spec.with_suffix(".html")
    check_page(page.read_text())
    assert "verlet, h = 0.25" in page.read_text()
    page.write_text("<p>mine</p>")
    with pytest.raises(SpecError, match="not written by odenet"):
        odenet("report", "small.ode")
    with pytest.raises(SpecError, match="the specification, which would be replaced"):
        odenet("report", "small.ode", "-o", "small.ode")
    assert page.read_text() == "<p>mine</p>" and spec.read_text() == SPEC


def test_what_is_not_there_or_not_a_run_is_said_and_nothing_is_written(spec):
    (spec.parent / "empty").mkdir()
    for source, message in (
        ("smal.ode", "no such file"),
        ("empty", "is not the folder of a run"),
    ):
        with pytest.raises(SpecError, match=message):
            odenet("report", source)
    spec.write_text(SPEC.replace("verlet", "verlett"))
    with pytest.raises(SpecError, match="unknown scheme `verlett`"):
        odenet("report", "small.ode")
    assert not list(spec.parent.glob("*.html"))
