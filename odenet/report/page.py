"""The page: what was derived and measured, put into the template."""

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
from odenet.report.figures import Figure
from odenet.report.formulas import Formulas, Verdict, formulas, verdict
from odenet.report.layers import Network, network_of
from odenet.report.measured import Measured, depth_of, measured_new, stability_of_weights
from odenet.report.runs import RunPart, run_part
from odenet.training.run_folder.records import Options, RunFolder

Say = Callable[[str], None]


@dataclass(frozen=True)
class Page:
    """What the template shows; each part that is None is left out.

    Args:
        title: the name of the specification, or of the run.
        description: what the specification says it is.
        origin: what the page is about, in words.
        version: of odenet.
        spec: the text, coloured.
        formulas: what was derived.
        verdict: what was proved.
        network: its layers.
        stability: the region with the weights' eigenvalues, or why there is none.
        depth: norms and energy.
        unmeasured: why the weights were not looked at; else empty.
        warnings: of the compiler, with their frames.
        run: what was trained.
    """

    title: str
    description: str
    origin: str
    version: str
    spec: str
    formulas: Formulas
    verdict: Verdict
    network: Network | None
    stability: Figure | str
    depth: Figure | None
    unmeasured: str
    warnings: list[str]
    run: RunPart | None = None


UNMEASURED = Measured({}, "", "weights are drawn by `odenet report`")


def page_of(program: Program, found: Measured = UNMEASURED) -> Page:
    """The page of a program.

    Args:
        program: compiled.
        found: its network measured; by default nothing is.
    """
    return Page(
        title=program.name,
        description=program.model.description,
        origin=f"Specification {program.model.source.name}",
        version=odenet.__version__,
        spec=highlight(program.text, OdeLexer(), HtmlFormatter(nowrap=True)),
        formulas=formulas(program),
        verdict=verdict(program),
        network=network_of(program),
        stability=stability_of_weights(program, found),
        depth=depth_of(found),
        unmeasured=found.missing,
        warnings=[render(warning) for warning in program.warnings],
    )


def spec_report(program: Program, say: Say) -> str:
    """The page of a specification, with new weights measured, as HTML."""
    say("measuring the initial weights")
    found = measured_new(program)
    say("writing the page")
    return as_html(page_of(program, found))


def run_report(run: Path, options: Options | None, say: Say) -> str:
    """The page of a run, with its trained weights measured, as HTML.

    Args:
        run: the folder.
        options: where the data lies; as the training if None.
        say: is told what is being done.

    Raises:
        TrainingError: it is not the folder of a run, or a damaged one.
    """
    folder = RunFolder(run)
    record = folder.read_record()
    folder.require_plugins()
    program = odenet.load(folder.spec, set=dict(record.settings))
    say("measuring the weights, and looking at the test samples")
    part, found = run_part(run, options)
    say("writing the page")
    page = page_of(program, found)
    name = run.resolve().name
    return as_html(replace(page, title=name, origin=f"Run of {record.name}", run=part))


def as_html(page: Page, script: str = "") -> str:
    """The page as one file that loads nothing, or with a script that asks for the next one."""
    return _rendered("page.html", page=page, script=script)


def error_html(title: str, text: str, script: str) -> str:
    """A page with an error and its frame in place of what there is nothing of."""
    return _rendered("error.html", title=title, text=text, script=script)


def _rendered(name: str, **shown: Any) -> str:
    """A template filled."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["prose"] = _prose
    return environment.get_template(name).render(style=_text("style.css"), **shown)


def _prose(text: str) -> str:
    """A sentence as HTML: `C^-½` as powers are written, and code in the letters of code."""
    powers = re.sub(r"\^(-?½)", r"<sup>\1</sup>", escape(text))
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", powers)


def _text(name: str) -> str:
    return (files("odenet.report") / "templates" / name).read_text("utf-8")
