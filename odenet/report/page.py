"""The HTML page: what was derived and measured, and the template that shows it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from pygments import highlight
from pygments.formatters import HtmlFormatter

import odenet
from odenet.compiler import Program
from odenet.diagnostics import render
from odenet.highlight import OdeLexer
from odenet.report import measured
from odenet.report.figures import Figure
from odenet.report.formulas import Formulas, Verdict, formulas, verdict
from odenet.report.layers import LayerTable, layer_table
from odenet.report.runs import RunSection, run_section
from odenet.training.run_folder.records import Options, RunFolder

ShowStatus = Callable[[str], None]  # shows a text such as "writing the page"


@dataclass(frozen=True)
class Page:
    """What the template shows; a section that is None is left out.

    Args:
        title: the name of the specification or the run.
        description: the description in the specification.
        origin: what the page is about, in words, such as "Run of digits".
        version: the version of odenet.
        spec: the text of the specification, coloured, in HTML.
        formulas: equations, scheme and inverse.
        verdict: what is known of the spectrum, and the claims.
        network: the table of layers.
        stability: the region with hλ of the weights, or the reason why there is none.
        depth: norms and energy along the depth; None if no weights were measured.
        why_unmeasured: why no weights were measured; else empty.
        warnings: the compiler's warnings, with the lines of source text.
        run: settings and results of the run; None on the page of a specification.
    """

    title: str
    description: str
    origin: str
    version: str
    spec: str
    formulas: Formulas
    verdict: Verdict
    network: LayerTable | None
    stability: Figure | str
    depth: Figure | None
    why_unmeasured: str
    warnings: list[str]
    run: RunSection | None = None


UNMEASURED = measured.FlowMeasurements({}, "", "weights are drawn by `odenet report`")


def build_page(program: Program, measurements: measured.FlowMeasurements = UNMEASURED) -> Page:
    """The page of a program.

    Args:
        program: the compiled program.
        measurements: those of its network; by default a note that there are none.
    """
    return Page(
        title=program.name,
        description=program.model.description,
        origin=f"Specification {program.model.source.name}",
        version=odenet.__version__,
        spec=highlight(program.text, OdeLexer(), HtmlFormatter(nowrap=True)),
        formulas=formulas(program),
        verdict=verdict(program),
        network=layer_table(program),
        stability=measured.stability_of_weights(program, measurements),
        depth=measured.measured_depth_figure(measurements),
        why_unmeasured=measurements.why_missing,
        warnings=[render(warning) for warning in program.warnings],
    )


def spec_report(program: Program, show_status: ShowStatus) -> str:
    """The page of a specification in HTML, with its initial weights measured."""
    show_status("measuring the initial weights")
    measurements = measured.measure_untrained(program)
    show_status("writing the page")
    return page_html(build_page(program, measurements))


def run_report(run: Path, options: Options | None, show_status: ShowStatus) -> str:
    """The page of a run in HTML, with its trained weights measured.

    Args:
        run: the folder of the run.
        options: options with the folder of the data; None for the options of the training.
        show_status: is called with what is being done.

    Raises:
        TrainingError: if this is not the folder of a run, or a damaged one.
    """
    folder = RunFolder(run)
    record = folder.read_record()
    folder.require_plugins()
    program = odenet.load(folder.spec, set=dict(record.settings))
    show_status("measuring the weights, and looking at the test samples")
    section, measurements = run_section(run, options)
    show_status("writing the page")
    page = build_page(program, measurements)
    name = run.resolve().name
    return page_html(replace(page, title=name, origin=f"Run of {record.name}", run=section))


def page_html(page: Page, script: str = "") -> str:
    """The page as one self-contained HTML file, with a script if one is given."""
    return _render("page.html", page=page, script=script)


def error_html(title: str, text: str, script: str) -> str:
    """The page of a specification with errors: their text, with the lines of source text."""
    return _render("error.html", title=title, text=text, script=script)


def _render(template: str, **values: Any) -> str:
    """The HTML of a template, filled with values."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_text), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["prose"] = _prose_html
    return environment.get_template(template).render(style=_template_text("style.css"), **values)


def _prose_html(text: str) -> str:
    """A sentence as HTML: exponents as in `C^-½` are raised, and what is in backticks is code."""
    powers = re.sub(r"\^(-?½)", r"<sup>\1</sup>", escape(text))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", powers)


def _template_text(name: str) -> str:
    return (files("odenet.report") / "templates" / name).read_text("utf-8")
