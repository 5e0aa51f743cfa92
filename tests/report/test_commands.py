"""`odenet report` as a user runs it."""

import pytest
import typer
from typer.testing import CliRunner

from odenet.cli import reporting
from odenet.diagnostics import SpecError

from .conftest import SPEC
from .html_checks import check_page

# Two commands: with one alone, typer would not take its name as the first argument.
APP = typer.Typer()
APP.command("report")(reporting.report)
APP.command("watch")(reporting.watch)


def odenet(*arguments):
    """Run a command, which has to succeed, and return its output; its SpecError is raised here."""
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == 0, result.output
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


def test_a_source_without_a_page_is_reported_and_nothing_is_written(spec):
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
