"""The verdict on a file is the same word in compile, check, Python and JSON."""

import json
import sys
from pathlib import Path

import pytest

import odenet
from odenet import cli
from odenet.diagnostics import SpecError

SPECS = Path(__file__).parents[2] / "specs"
DIFFUSION = "state Y\nparam K : conv(3)\nY' = -K^T relu(K Y)\n"
RESIDUAL = "state Y\nparam K1, K2 : conv(3)\nY' = K2^T relu(K1 Y)\n"
NET = "net = input(1, 8, 8) -> conv(3, 4) -> flow(4) -> mean -> dense(10)\n"
# By the names of their recorded outputs.
TEXTS = {
    "proved": f"{DIFFUSION}discretise euler(h = 0.1)\nrequire real\n",
    "refuted": f"{RESIDUAL}discretise euler(h = 0.1)\n",
    "claims": f"{DIFFUSION}discretise euler(h = 0.1)\n"
    "require real\nrequire imaginary\nrequire reversible\n",
    "without_steps": f"{DIFFUSION}require real\nrequire reversible\n",
}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """A function that runs a command on a text: gives its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run_command(text, command, *options):
        Path("spec.ode").write_text(text)
        monkeypatch.setattr(sys, "argv", ["odenet", command, "spec.ode", *options])
        try:
            cli.main()
            code = 0
        except SystemExit as system_exit:
            code = system_exit.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("options", [[], ["--proof"]], ids=["short", "proof"])
def test_the_output_of_compile_is_the_recorded_one(run, golden, name, options):
    code, out, err = run(TEXTS[name], "compile", *options)
    assert code == 0
    form = "compile/proof" if options else "compile"
    golden(f"{form}/{name}.txt", f"{out}--- errors ---\n{err}")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [(DIFFUSION, "real"), (RESIDUAL, "refuted")],
)
def test_every_command_and_form_gives_the_same_verdict(run, verdict, text):
    text = f"{text}discretise rk4(h = 0.1)\n"
    program = odenet.loads(text)
    assert program.certificate.verdict == verdict
    summary = program.certificate.summary
    assert verdict in summary and str(program.certificate).startswith(summary)
    assert summary in run(text, "compile", "--proof")[1]
    assert f"  spectrum    {summary.removeprefix('spectrum ')}\n" in run(text, "compile")[1]
    assert summary in run(text, "check", "--no-numeric")[1]
    assert run(text, "compile", "--emit", "certificate")[1].startswith(summary)
    latex = run(text, "compile", "--emit", "latex")[1]
    assert f"Spectrum {verdict}" in latex
    compiled = json.loads(run(text, "compile", "--emit", "json")[1])
    (checked,) = json.loads(run(text, "check", "--no-numeric", "--json")[1])
    assert compiled["certificate"] == checked["certificate"]
    assert compiled["certificate"]["verdict"] == verdict
    assert f"Spectrum {verdict}" in " ".join(program.source().split())


@pytest.mark.slow
def test_compile_searches_as_long_as_check_before_it_leaves_a_verdict_open(run):
    text = "state Y, Z\nparam K : dense\nY' = K^T tanh(Z)\nZ' = -tanh(K Y)\n"
    compiled = json.loads(run(text, "compile", "--emit", "json")[1])["certificate"]
    assert compiled["verdict"] == "open" and compiled["trials"] > 0
    assert f"no counterexample in {compiled['trials']} trials" in compiled["summary"]
    (checked,) = json.loads(run(text, "check", "--json")[1])
    assert compiled == checked["certificate"]


def test_compile_and_check_judge_claims_alike_and_only_check_fails(run):
    compile_code, _, err = run(TEXTS["claims"], "compile")
    compiled = json.loads(run(TEXTS["claims"], "compile", "--emit", "json")[1])
    check_code, out, _ = run(TEXTS["claims"], "check", "--no-numeric", "--json")
    (checked,) = json.loads(out)
    assert (compile_code, check_code) == (0, 1)
    assert compiled["claims"] == checked["claims"]
    assert [claim["verdict"] for claim in checked["claims"]] == ["proved", "refuted", "refuted"]
    assert err.count("warning[claim-") == 2 and "spec.ode:6:1" in err


def test_a_search_of_no_trials_leaves_open_what_is_not_proved(run):
    text = f"{TEXTS['refuted']}require stable\n"
    code, out, _ = run(text, "check", "--no-numeric", "--trials", "0")
    assert code == 1 and "spectrum open: " in out and "? stable: open: " in out


@pytest.mark.parametrize(("marker", "options"), [("and says:", []), ("is the whole", ["--proof"])])
def test_the_readme_shows_the_output_of_compile_line_for_line(run, marker, options):
    readme = (SPECS.parent / "README.md").read_text(encoding="utf-8")
    shown = readme[readme.index(marker) :].split("```\n")[1]
    out = run((SPECS / "hamiltonian.ode").read_text(encoding="utf-8"), "compile", *options)[1]
    assert shown == out.replace(" spec.", " hamiltonian.")


# --- a file without a `discretise` line ---


def test_without_steps_there_is_a_certificate_and_no_module(run):
    code, out, _ = run(DIFFUSION, "compile")
    assert code == 0 and [path.name for path in Path().iterdir()] == ["spec.ode"]
    assert "  spectrum  real and at most 0 (proved)" in out
    assert run(DIFFUSION, "check")[0] == 0
    program = odenet.loads(DIFFUSION)
    assert not program.discretised and program.warnings == [] and "proved" in str(program)


@pytest.mark.parametrize("text", [DIFFUSION, RESIDUAL, "state Y\nparam K : dense\nY'' = -K Y\n"])
def test_every_suggested_discretise_line_compiles(run, text):
    out = run(text, "compile")[1]
    lines = [line.strip() for line in out.splitlines() if line.startswith("    discretise ")]
    assert len(lines) > 3
    for line in lines:
        program = odenet.loads(f"{text}{line}\n")
        assert program.derivation.reversible == ("# reversible" in line), line
    assert "# reversible" in lines[0]


@pytest.mark.parametrize(
    "command",
    [
        ["compile", "-o", "module.py"],
        ["compile", "--emit", "py"],
        ["compile", "--emit", "derivation"],
        ["memory"],
        ["train", "--data", "digits"],
    ],
)
def test_commands_that_need_steps_say_that_there_are_none(run, command):
    code, _, err = run(DIFFUSION + NET, *command)
    assert code == 1 and "this file has no discretisation" in err
    assert "discretise verlet(h = 0.1)" in err and "Traceback" not in err


@pytest.mark.parametrize("form", ["tree", "program", "certificate", "latex", "json"])
def test_every_form_that_needs_no_steps_is_printed(run, form):
    assert run(DIFFUSION + NET, "compile", "--emit", form)[0] == 0


def test_python_functions_that_need_steps_raise_an_error_that_says_so():
    program = odenet.loads(DIFFUSION + NET)
    for call in (
        lambda: program.derivation,
        lambda: program.source(),
        lambda: program.flow(channels=4, steps=2),
        lambda: program.network(),
    ):
        with pytest.raises(SpecError, match="this file has no discretisation"):
            call()
