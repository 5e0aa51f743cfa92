"""Citations in texts are found in the bibliography, and LaTeX output cites and lists them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import odenet
from odenet.cli.compiling import compile_spec
from odenet.emit.bibliography import citations_in
from odenet.emit.printing import as_bibtex, as_document
from odenet.model.elaboration.library import library_names, library_text

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.ode"))
# A paper as texts cite it: surnames and a year, as in "Haber & Ruthotto 2017".
CITATION = re.compile(
    r"(?:Du )?[A-Z][\w-]+(?:(?:, [A-Z][\w-]+)* (?:&|and) [A-Z][\w-]+| et al\.)? (?:19|20)\d\d(?: \(ICLR\))?"
)


def spec_text(scheme, description="x"):
    """A spec with a scheme and a description, which may cite papers."""
    dynamics = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\n"
    return f'"{description}"\n{dynamics}discretise {scheme}(h = 0.1)\n'


def facts_of(scheme, description="x"):
    """What is known of that spec, as the printers take it."""
    return odenet.loads(spec_text(scheme, description), name="one.ode").facts


@pytest.mark.parametrize(
    "text", [p.read_text() for p in SPECS] + [library_text(n) for n in library_names()]
)
def test_every_paper_that_a_text_names_has_an_entry(text):
    citations = set(CITATION.findall(re.sub(r"[\s#]+", " ", text)))
    for name in citations:
        assert citations_in(name), name


def test_the_two_papers_of_chang_et_al_2018_are_told_apart():
    assert list(citations_in("Chang et al. 2018, Eq. 7")) == ["chang2018reversible"]
    assert list(citations_in("Chang et al. 2018 (ICLR), section 5")) == ["chang2018multilevel"]
    assert list(citations_in("Chang et al. 2018, ICLR, §3.3")) == ["chang2018multilevel"]
    assert list(citations_in("Chang et al. 2018, AAAI, appendix")) == ["chang2018reversible"]
    assert list(citations_in("Chang et al.\n# 2018. Chang et al. 2018 (ICLR)")) == [
        "chang2018reversible",
        "chang2018multilevel",
    ]


def test_a_file_cites_what_its_scheme_cites():
    assert "@inproceedings{chang2018reversible," in as_bibtex(facts_of("midpoint"))
    facts = facts_of("rk4", "Haber and Ruthotto 2017")
    assert re.findall(r"@\w+\{(\w+),", as_bibtex(facts)) == ["haber2017stable", "kutta1901beitrag"]
    assert "cited" not in as_bibtex(facts)  # a field for odenet's own use
    assert as_bibtex(facts_of("euler")) == ""


def test_a_document_has_the_description_and_the_citations():
    facts = facts_of("midpoint", "50 % of ε & more_so. Haber & Ruthotto 2017")
    text = as_document(facts, "one")
    assert re.search(r"50 \\% of \\\(\\(var)?epsilon\\\) \\& more\\_so", text)
    assert r"\cite{chang2018reversible,haber2017stable}" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.endswith("\\bibliography{one}\n\\end{document}")
    assert "bibliography" not in as_document(facts_of("euler"), "one")


def test_latex_is_written_where_asked_and_a_users_bibliography_is_not_replaced(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("one.ode").write_text(spec_text("midpoint"))
    compile_spec(Path("one.ode"), Path("paper.tex"), emit="latex")
    assert capsys.readouterr().out == "wrote paper.tex and paper.bib\n"
    compile_spec(Path("one.ode"), Path("paper.tex"), emit="latex")
    Path("paper.bib").write_text("@misc{mine}")
    with pytest.raises(odenet.SpecError, match="not written by odenet"):
        compile_spec(Path("one.ode"), Path("paper.tex"), emit="latex")
    assert Path("paper.bib").read_text() == "@misc{mine}"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
@pytest.mark.parametrize("name", ["revnet", "momentum"])
def test_a_document_compiles(tmp_path, name):
    facts = odenet.load(SPECS[0].with_name(f"{name}.ode")).facts
    (tmp_path / "one.tex").write_text(as_document(facts, "one"))
    (tmp_path / "one.bib").write_text(as_bibtex(facts))
    for command in (["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "one"],
                    ["bibtex", "one"]):  # fmt: skip
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-2000:]
    assert "warning" not in result.stdout.lower()
