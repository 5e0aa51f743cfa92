"""Formulas are printed as text that reads back as the same formula, and as valid LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import odenet
from odenet.emit.printing import as_latex
from odenet.model.expressions import expr
from odenet.model.typed.dialects import OdeDialect, latex_math, latex_prose
from odenet.model.typed.notation import LATEX, Notation
from tests.derive.numeric import SCHEMES

SPECS = sorted(Path("specs").glob("*.ode"))
ENGINE = shutil.which("pdflatex") or shutil.which("lualatex") or shutil.which("tectonic")

# What LaTeX, amsmath and amssymb have.
LATEX_COMMANDS = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau
    upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
    mathrm textrm exp mathbb operatorname text frac tfrac sqrt surd left right dot ddot top odot cdot quad
    subset infty le ge ne neq succ preceq lambda begin end tanh sin textbackslash
""".split()

# Every name in one file: indices, Greek capitals, words, digits before an underscore.
SPEC_WITH_NAMES = """
state Y1, long_name
param K_2 : conv(3)
param Ω : diag
param Α1 : conv(3)
let ο = 1/3
Y1' = K_2^T leaky_relu(1/10)(K_2 long_name) - ο Α1 Y1
long_name' = -Ω tanh(2/7 Y1 * Y1)
discretise rk4(h = 1/3)
"""


def latex_of(program) -> str:
    return as_latex(program.facts)


def load_programs():
    """The programs of all specs that ship, and of the one with all kinds of names."""
    return [odenet.load(path) for path in SPECS] + [odenet.loads(SPEC_WITH_NAMES)]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_what_is_printed_reads_back_as_the_same_formula(path):
    program = odenet.load(path)
    notation = Notation(OdeDialect(program.model.spellings))
    text = path.read_text()
    rates = program.model.dynamics.rates
    # From the last to the first, so that the spans of those before stay right.
    for rate in sorted(rates.values(), key=lambda rate: -rate.span.start):
        text = text[: rate.span.start] + notation.show(rate) + text[rate.span.end :]
    assert odenet.loads(text, name=path.name).model.dynamics.rates == rates


def coefficient(text: str) -> expr.Node:
    """The formula that a text has become as the coefficient of Y[n] in a scheme."""
    program = odenet.loads(f"""
        state Y
        param K : conv(3)
        Y' = K Y
        scheme one(a = 1, b = 2, c = 3) {{
            for Y' = F(Y)
            Y[n+1] = ({text}) Y[n] + h F(Y[n])
        }}
        discretise one(h = 1)
    """)
    return program.model.scheme.updates[0].value.terms[0][1].left


@pytest.mark.parametrize(
    "text, latex",
    [
        ("(a + b)^2", r"\left(a + b\right)^{2}"),
        ("(a + 1/2)^(a + b)", r"\left(a + \frac{1}{2}\right)^{a + b}"),
        ("a * (2 * 3)", r"a\,\left(2 \cdot 3\right)"),
        ("(-(a - (b - c)))", r"-\left(a - \left(b - c\right)\right)"),
        ("a/(b c)", r"\frac{a}{b\,c}"),
        ("0.5", "0.5"),
    ],
)
def test_brackets_are_printed_where_they_are_needed(text, latex):
    node = coefficient(text)
    assert coefficient(Notation().show(node)) == node
    assert LATEX.show(node) == latex


def test_latex_gives_a_name_one_subscript():
    assert LATEX.show(expr.Slot("Y1", 1)) == "Y_{1,n+1}"
    assert LATEX.show(expr.Slot("alpha_f", 0)) == r"\alpha_{f,n}"
    assert LATEX.show(expr.LearnedOperator("K_2")) == "K_{2}"
    assert LATEX.show(expr.State("speed", 1)) == r"\dot{\mathrm{speed}}"
    assert LATEX.name("Alpha") == r"\mathrm{A}"
    assert latex_math("1/(γ K1ᵀ)") == r"1/(\gamma K_{1}^{\top})"
    assert latex_prose("f_1 ≥ 0 & γ^2") == r"f\_1 \(\ge\) 0 \& \(\gamma\)\^{}2"


def test_latex_has_only_commands_that_exist_and_no_index_twice():
    for program in load_programs():
        text = latex_of(program)
        assert set(re.findall(r"\\([A-Za-z]+)", text)) - {"aligned"} <= set(LATEX_COMMANDS), (
            program.name
        )
        assert text.isascii(), sorted(set(text) - set(map(chr, range(128))))
        assert not re.search(r"_\{[^{}]*\}\s*_", text)
        assert text.count("{") == text.count("}") and text.count(r"\left") == text.count(r"\right")


@pytest.mark.skipif(ENGINE is None, reason="no LaTeX engine is installed")
def test_latex_compiles(tmp_path):
    body = "\n\n".join(latex_of(program) for program in load_programs())
    page = "\\documentclass{article}\\usepackage{amsmath,amssymb}\\begin{document}\n%s\n\\end{document}"
    (tmp_path / "page.tex").write_text(page % body)
    options = [] if ENGINE.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    result = subprocess.run(
        [ENGINE, *options, "page.tex"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-2000:]


def test_schemes_print_their_for_line():
    for_lines = {name: Notation(OdeDialect(s.spellings)).for_line(s) for name, s in SCHEMES.items()}
    assert for_lines["verlet"] == "Y' = F(Z), Z' = G(Y)"
    assert any("- γ Y'" in line for line in for_lines.values())
