"""What notebooks show of programs, certificates, runs and predictions: HTML, LaTeX or one line.

The fixtures `program` and `run` of conftest.py are a small program and the folder of a run.
"""

import inspect

import pytest

import odenet
from odenet.training.runs.results import Result

from .html_checks import check_page


def test_a_program_is_shown_as_an_html_fragment_with_formulas(program):
    html = program._repr_html_()
    check_page(html)
    assert html.count("<math") == 3 and "Spectrum imaginary (proved)." in html
    assert "✓ require reversible" in html


def test_without_the_library_a_notebook_gets_latex(program, monkeypatch):
    monkeypatch.setattr("odenet.compiler.find_spec", lambda _: None)
    assert program._repr_html_() is None
    assert r"\dot{Y} &= K_{1}^{\top}" in program._repr_latex_()


def test_programs_and_what_is_known_of_them_have_a_repr_of_one_line(program):
    steps = "Y' = K1ᵀ σ(K1 Z + b1), Z' = -K2ᵀ σ(K2 Y + b2); verlet, h = 0.125"
    assert repr(program) == f"<program small: {steps}>"
    assert repr(program.certificate) == "<certificate: spectrum imaginary (proved)>"
    properties = "Reversible; order 1; volume preserving."
    assert repr(program.derivation) == f"<derivation of verlet: {properties}>"
    assert repr(program.derivation.stability).startswith("<stability of verlet: stable for hω < 2")
    assert repr(program.claims[0]).startswith("<claim reversible: proved: ")
    assert repr(program.model) == "<model small: Y, Z>"


def test_results_runs_and_predictions_have_a_repr_of_one_line(run):
    result = Result.read(run / "result.json")
    assert repr(result).startswith(f"<result of {run}: test accuracy ")
    assert str(result).startswith("test accuracy") and "parameters" in str(result)
    trained = odenet.load_run(run)
    assert repr(trained) == f"<run {run}: takes (1, 8, 8), gives 10 classes>"
    # Of 22 samples, here black pictures as bytes, 20 are listed.
    predictions = trained.predict(trained.model._transforms.mean.new_zeros(22, 1, 8, 8).byte())
    assert repr(predictions) == "<predictions of 22 samples by cross_entropy>"
    lines = str(predictions).splitlines()
    assert lines[-1] == "and 2 more" and len(lines) == 21


def test_signatures_show_the_parameters_by_name(program):
    names = ["self", "channels", "steps", "h", "T", "space", "constants"]
    assert list(inspect.signature(odenet.Program.flow).parameters) == names
    assert program.flow(channels=4, steps=2, h=0.5).h == 0.5
    assert "v0" in inspect.signature(odenet.convert).parameters


@pytest.mark.slow
def test_a_notebook_runs_and_shows_the_program(tmp_path, monkeypatch):
    client = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    from .conftest import SPEC

    (tmp_path / "small.ode").write_text(SPEC)
    cells = ['import odenet\nodenet.load("small.ode")', 'odenet.load("small.ode").certificate']
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client.NotebookClient(notebook, timeout=300, kernel_name="python3",
                          resources={"metadata": {"path": tmp_path}}).execute()  # fmt: skip
    program, certificate = (cell.outputs[-1]["data"] for cell in notebook.cells)
    assert "<math" in program["text/html"] and program["text/plain"].startswith("<program small")
    assert "operatorname{spec} J" in certificate["text/latex"]
    assert all(out.output_type != "error" for cell in notebook.cells for out in cell.outputs)
