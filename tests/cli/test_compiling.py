"""`odenet compile`, `check`, `fmt` and `schemes` as a user runs them.

The fixture `odenet` of conftest.py runs a command: it gives exit code, output and errors.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from odenet.model.elaboration.library import library_names

SPECS = Path(__file__).parents[2] / "specs"
BAD_SPEC = "state Y\nY' = Q Y\ndiscretise euler(h = 0.1)\n"


def test_a_preset_sets_its_numbers_and_a_later_setting_overrides_one(odenet):
    command = ("compile", SPECS / "hamiltonian.ode", "--emit", "program")
    _, preset, _ = odenet(*command, "--set", "@hamiltonian-218")
    assert preset == odenet(*command, "--set", "n=18", "--set", "w=128")[1]
    _, changed, _ = odenet(*command, "--set", "@hamiltonian-218", "--set", "n=17")
    assert changed != preset
    code, _, error = odenet("compile", SPECS / "hamiltonian.ode", "--set", "@hamiltonian-219")
    assert code == 1 and "known: @hamiltonian-74" in error


def test_compile_writes_the_module_and_prints_what_was_derived_and_proved(odenet, tmp_path):
    code, out, _ = odenet("compile", SPECS / "hamiltonian.ode")
    assert code == 0
    for expected in ("order       1", "round trip  6 steps", "imaginary (proved)", "✓ reversible"):
        assert expected in out
    assert "forward" not in out and "\x1b" not in out
    code, out, _ = odenet("compile", SPECS / "hamiltonian.ode", "--proof")
    for expected in ("forward", "inverse", "proof", "order      1", "imaginary (proved)"):
        assert expected in out
    text = (tmp_path / "hamiltonian.py").read_text()
    assert "class HamiltonianFlow(Flow):" in text


def test_the_certificate_beside_the_module_is_verified(odenet):
    assert odenet("compile", SPECS / "digits.ode", "-o", "net.py")[0] == 0
    code, out, _ = odenet("verify", "net.certificate.json")
    assert code == 0 and "proved: the spectrum is imaginary" in out
    assert odenet("verify", "net.certificate.json", "--spec", SPECS / "digits.ode")[0] == 0
    code, out, _ = odenet("verify", "net.certificate.json", "--spec", SPECS / "rings.ode")
    assert code == 1 and "not proved: it was not written for" in out
    code, out, _ = odenet("verify", "net.py")
    assert code == 2 and out.startswith("no certificate: ")


NEVER_STABLE = """state Y
param K : conv(3)
Y' = -K^T relu(K Y)
discretise midpoint(h = 0.1)
"""


def test_compile_warns_of_a_scheme_that_is_never_stable_and_writes_the_module(odenet, tmp_path):
    (tmp_path / "never.ode").write_text(NEVER_STABLE)
    code, _, err = odenet("compile", tmp_path / "never.ode")
    assert code == 0 and (tmp_path / "never.py").exists()
    assert "midpoint is unstable for every h" in err and "never.ode:4:1" in err and "rk4" in err


def test_compile_again_replaces_its_own_module_but_no_other_file(odenet, tmp_path):
    assert odenet("compile", SPECS / "digits.ode")[0] == 0
    assert odenet("compile", SPECS / "digits.ode")[0] == 0
    (tmp_path / "digits.py").write_text("mine = 1\n")
    code, _, err = odenet("compile", SPECS / "digits.ode")
    assert (code, (tmp_path / "digits.py").read_text()) == (1, "mine = 1\n")
    assert "not written by odenet" in err and "-o FILE.py" in err


def test_a_bad_file_leaves_the_old_output_alone(odenet, tmp_path):
    (tmp_path / "bad.ode").write_text(BAD_SPEC)
    (tmp_path / "bad.py").write_text("before")
    code, out, err = odenet("compile", tmp_path / "bad.ode", "-o", tmp_path / "bad.py")
    assert (code, out, (tmp_path / "bad.py").read_text()) == (1, "", "before")
    assert "bad.ode:2:6" in err and "unknown name `Q`" in err and "Traceback" not in err


def test_an_output_that_cannot_be_written_is_reported(odenet, tmp_path):
    code, _, err = odenet("compile", SPECS / "digits.ode", "-o", tmp_path / "no" / "such.py")
    assert code == 1 and "cannot be written: there is no such folder" in err and "such.py" in err


@pytest.mark.parametrize("form", ["tree", "program", "derivation", "certificate", "latex", "py"])
def test_every_form_is_printed_and_nothing_is_written(odenet, tmp_path, form):
    code, out, _ = odenet("compile", SPECS / "midpoint.ode", "--emit", form)
    assert code == 0 and len(out) > 100
    assert not list(tmp_path.iterdir())


def test_the_json_form_can_be_parsed(odenet):
    report = json.loads(odenet("compile", SPECS / "momentum.ode", "--emit", "json")[1])
    assert report["scheme"] == "momentum"
    assert report["derivation"]["conditions"] == ["γ ≠ 0"]


def test_set_changes_what_is_compiled(odenet):
    out = odenet(
        "compile", SPECS / "digits.ode", "--set", "h=0.05", "--set", "n=7", "--emit", "py"
    )[1]
    assert "h=0.05" in out and "steps=7" in out


@pytest.mark.parametrize(
    ("settings", "exit_code", "message"),
    [
        (["--set", "h"], 2, "NAME=VALUE"),
        (["--set", "zz=1"], 1, "zz"),
        (["--set", "h=-1"], 1, "h"),
        (["--set", "h=(("], 1, "h"),
    ],
)
def test_wrong_settings_are_explained(odenet, settings, exit_code, message):
    code, _, err = odenet("compile", SPECS / "digits.ode", *settings)
    assert code == exit_code and message in err and "Traceback" not in err


def test_check_prints_a_line_for_each_claim(odenet):
    code, out, _ = odenet("check", SPECS / "leapfrog.ode", SPECS / "revnet.ode")
    assert code == 0
    assert "✓ imaginary: proved" in out and "✓ round trip" in out
    assert "revnet.ode: spectrum refuted: not stable, eigenvalue" in out


def test_check_names_the_line_of_a_wrong_claim(odenet, tmp_path):
    text = (SPECS / "resnet.ode").read_text() + "require reversible\nrequire stable\n"
    (tmp_path / "claims.ode").write_text(text)
    code, out, err = odenet("check", "--no-numeric", tmp_path / "claims.ode")
    line = text.splitlines().index("require reversible") + 1
    assert code == 1 and "✗ reversible" in out and "✗ stable" in out
    assert f"claims.ode:{line}:" in err and f"claims.ode:{line + 1}:" in err


def test_check_reports_all_files_even_when_one_is_bad(odenet, tmp_path):
    (tmp_path / "bad.ode").write_text(BAD_SPEC)
    code, out, err = odenet(
        "check", "--no-numeric", "--json", tmp_path / "bad.ode", SPECS / "digits.ode"
    )
    reports = json.loads(out)
    assert code == 1 and [report["holds"] for report in reports] == [False, True]
    assert reports[0]["errors"][0]["line"] == 2 and not err


def test_check_warns_of_a_scheme_that_is_never_stable(odenet, tmp_path):
    text = (SPECS / "dissipative.ode").read_text().replace("damped_midpoint", "midpoint")
    (tmp_path / "damped.ode").write_text(text)
    code, _, err = odenet("check", "--no-numeric", tmp_path / "damped.ode")
    assert code == 0 and "midpoint is unstable for every h at negative real eigenvalues" in err


def test_schemes_lists_the_library(odenet):
    out = odenet("schemes")[1]
    assert all(name in out for name in library_names())
    rows = json.loads(odenet("schemes", "--json")[1])
    assert {row["scheme"]: row["order"] for row in rows}["yoshida4"] == 4


def test_fmt_formats_in_place_and_checks(odenet, tmp_path):
    file = tmp_path / "a.ode"
    file.write_text("state Y\nparam K:dense # kept\nY'=tanh( K Y )\ndiscretise euler( h=0.1 )\n")
    assert odenet("fmt", "--check", file)[0] == 1
    assert odenet("fmt", file)[0] == 0
    assert file.read_text().startswith("odenet 1\n") and "# kept" in file.read_text()
    assert odenet("fmt", "--check", file)[0] == 0


def test_compile_needs_neither_torch_nor_numpy(tmp_path):
    script = (
        "import atexit, sys; from odenet.cli import main; "
        "heavy = {'torch', 'lightning', 'numpy'}; "
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)))); "
        "sys.argv = ['odenet', 'compile', sys.argv[1], '-o', sys.argv[2]]; main()"
    )
    command = [
        sys.executable,
        "-c",
        script,
        str(SPECS / "hamiltonian.ode"),
        str(tmp_path / "h.py"),
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith(
        "[]\n"
    )


def test_an_internal_error_asks_for_a_report(odenet, monkeypatch):
    def broken(*_):
        raise RuntimeError("planted")

    monkeypatch.setattr("odenet.compiler.build", broken)
    code, _, err = odenet("compile", SPECS / "digits.ode")
    assert code == os.EX_SOFTWARE and "fault of odenet" in err


def test_a_verdict_that_numerical_checks_contradict_is_an_internal_error(
    odenet, monkeypatch, tmp_path
):
    import odenet.analyse.certificate as certificates

    def wrong_decide(*_):
        return certificates.Certificate(verdict="real")

    monkeypatch.setattr("odenet.analyse.decide", wrong_decide)
    code, out, err = odenet("compile", SPECS / "hamiltonian.ode", "-o", tmp_path / "h.py")
    assert code == os.EX_SOFTWARE and not out and not (tmp_path / "h.py").exists()
    assert "odenet contradicts itself" in err and "drawn with seed 2018" in err
    assert "fault of odenet" in err and "Traceback" not in err


def test_the_page_of_the_schemes_is_written_from_their_texts(odenet, golden):
    _, page, _ = odenet("schemes", "--markdown")
    golden(SPECS.parent / "docs" / "schemes.md", page)  # the page itself is the recording


def test_a_scheme_that_the_compiler_made_from_another_is_printed(odenet):
    spec = "state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise coupled(heun)(h = 0.1)\n"
    Path("spec.ode").write_text(spec)
    _, shown, _ = odenet("compile", "spec.ode", "--emit", "scheme")
    assert shown.startswith("scheme coupled_heun(λ = 0.99) {\n    for Y' = F(Y)\n")
