"""Output to terminals and pipes, input from a pipe, help, completion, settings of the recipe.

The fixture `odenet` of conftest.py runs a command: it gives exit code, output and errors.
"""

import io
import os
import subprocess
import sys

import pytest

from odenet.cli import app, output

from .test_compiling import BAD_SPEC, SPECS


class Terminal(io.StringIO):
    """A stream that is said to be a terminal."""

    def isatty(self):
        return True


def fake_terminal(monkeypatch, **environment):
    """Let output and errors go to a terminal of 80 columns; gives its stream."""
    monkeypatch.setattr(sys, "stdout", stream := Terminal())
    monkeypatch.setattr(sys, "stderr", stream)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **environment}.items():
        monkeypatch.setenv(name, value)
    return stream


ERROR_TEXT = (
    "error[unknown-name]: `K` is "
    + "very " * 20
    + "wrong\n  ┌─ a.ode:1:1\n1 │ K\n  │ ^\n  = help: leave it out"
)


def test_on_a_terminal_there_are_colours_and_lines_break_between_words(monkeypatch):
    stream = fake_terminal(monkeypatch)
    output.say(ERROR_TEXT, err=True)
    shown = stream.getvalue()
    assert "\x1b[1;31merror[unknown-name]\x1b[0m: `K`" in shown
    assert "\x1b[36m  = help\x1b[0m: leave" in shown
    assert [line.split()[-1] for line in shown.splitlines()[:2]] == ["very", "wrong"]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off_by_the_environment(monkeypatch, name, value):
    stream = fake_terminal(monkeypatch, **{name: value})
    output.say(ERROR_TEXT)
    assert "\x1b" not in stream.getvalue() and "error[unknown-name]: `K`" in stream.getvalue()


def test_output_for_programs_has_no_colours_even_on_a_terminal(monkeypatch):
    stream = fake_terminal(monkeypatch)
    output.write("warning: {}")
    assert stream.getvalue() == "warning: {}\n"


def test_lines_to_a_pipe_are_not_broken(capsys):
    output.say(ERROR_TEXT)
    assert capsys.readouterr().out == ERROR_TEXT + "\n"


def test_a_dash_reads_the_standard_input(odenet, monkeypatch, tmp_path):
    text = (SPECS / "digits.ode").read_text(encoding="utf-8")
    for arguments in (["compile", "-"], ["compile", "-", "-o", "net.py"], ["check", "-"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code, out, _ = odenet(*arguments)
        assert code == 0 and "imaginary (proved)" in out
    assert "class StdinFlow(Flow):" in (tmp_path / "net.py").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"net.py", "net.certificate.json"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(BAD_SPEC))
    code, _, err = odenet("compile", "-")
    assert code == 1 and "<stdin>:2:6" in err


def test_every_help_fits_80_columns_without_cuts(odenet, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = odenet("--help")
    command_list = " ".join(out.split())
    assert code == 0
    for command in app.registered_commands:
        summary = " ".join(command.callback.__doc__.split("\n\n")[0].split())
        assert f"{command.name} {summary}" in command_list
        _, shown, _ = odenet(command.name, "--help")
        assert "…" not in shown and max(map(len, shown.splitlines())) <= 80


def test_shells_complete_commands_and_options():
    script = "import sys; sys.argv = ['odenet']; from odenet.cli import main; main()"
    completion_request = {"_ODENET_COMPLETE": "complete_bash", "COMP_WORDS": "odenet train --dry"}
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **completion_request, "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
    )
    assert process.stdout.split() == ["--dry-run"], process.stderr


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["lr=0.5"], "sgd(lr = 0.5, momentum = 0.9"),
        (
            ["optimizer.nesterov=yes", "momentum=0.5"],
            "momentum = 0.5, decay = 0.0002, nesterov = yes",
        ),
        (["optimizer=adam(1e-3)", "lr=2"], "adam(lr = 2, decay = 0"),
        (["schedule.warmup=3"], "cosine(to = 0.001, warmup = 3"),
    ],
)
def test_an_argument_in_the_recipe_is_set_by_its_path(odenet, settings, expected):
    options = [part for setting in settings for part in ("--set", setting)]
    code, out, err = odenet("compile", SPECS / "digits.ode", "--emit", "json", *options)
    assert code == 0 and expected in out, err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.foo=3", "argument `foo` of sgd is unknown"),
        ("batch.x=1", "`batch` has no arguments"),
        ("foo.x=1", "the recipe has no key `foo`"),
        ("lr=-1", "lr in sgd is the learning rate: above 0"),
        ("lrr=1", "did you mean `lr`?"),
    ],
)
def test_a_wrong_setting_of_the_recipe_is_refused_by_name(odenet, setting, message):
    code, _, err = odenet("compile", SPECS / "digits.ode", "--emit", "json", "--set", setting)
    assert code == 1 and message in err


SPEC_WITH_WARNINGS = """state Y
param K : conv(3)
let a = 2
let n = 3
Y' = -K^T relu(K Y)
discretise rk4(h = 0.1)
net = input(1, 8, 8) -> conv(4, 8) -> flow(n) -> mean -> dense(10)
"""


def test_unused_constants_and_even_kernels_are_warned_of(odenet, tmp_path):
    (tmp_path / "unused.ode").write_text(SPEC_WITH_WARNINGS)
    code, _, err = odenet("compile", "unused.ode")
    assert code == 0 and "nothing uses `a`" in err and "`n`" not in err
    assert "a kernel of 4 has no middle" in err and "take an odd one, 3 or 5" in err


def test_a_constant_can_be_set_only_if_something_uses_it(odenet, tmp_path):
    (tmp_path / "unused.ode").write_text(SPEC_WITH_WARNINGS)
    (tmp_path / "used.ode").write_text(f"{SPEC_WITH_WARNINGS}let w = 2 a\ntrain {{ epochs = w }}\n")
    assert odenet("compile", "used.ode", "--set", "a=3", "--emit", "json")[0] == 0
    code, _, err = odenet("compile", "unused.ode", "--set", "a=3", "--emit", "json")
    assert code == 1 and "nothing uses `a`, so setting it changes nothing" in err
