"""The page of a specification: complete, in agreement with the compiler, with the right numbers.

The oracle of the spectrum is the Jacobian of the right-hand side, written out in torch.

The fixtures `program` and `html` of conftest.py are a small program and its page.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import odenet
from odenet.report.formulas import verdict
from odenet.report.measured import measure_untrained, stability_of_weights
from odenet.report.page import build_page, page_html

from .html_checks import check_page

ROOT = Path(__file__).parents[2]
SPEC_NAMES = ["dissipative", "lista", "neural_ode", "transformer", "moons_density"]


def text_of(html):
    """The text of a page, without its tags."""
    return re.sub(r"<[^>]+>", " ", html)


def test_a_page_is_well_formed_and_needs_no_script(html):
    check_page(html)
    assert "<script" not in html


def test_a_page_has_what_the_compiler_derived_and_proved(html, program):
    page_text = text_of(html)
    for line in (*program.certificate.conditions, *(c.reason for c in program.claims)):
        assert line in page_text
    assert "Spectrum imaginary (proved)." in page_text
    assert html.count("<math") == 8  # equations, start, step, inverse, proof, M and C, E, dE/dt
    assert "conv(3, 4)" in page_text and "held, reversible" in page_text
    assert "verlet, h = 0.125, for Y&#39; = F(Z), Z&#39; = G(Y)" in html  # what F and G are
    assert ">1</td><td><code>flow(3)</code>" in html  # the number that figures name it by


@pytest.mark.parametrize("name", SPEC_NAMES)
def test_every_kind_of_specification_has_a_page(name):
    page = build_page(odenet.load(ROOT / "specs" / f"{name}.ode"))
    check_page(page_html(page))


def test_a_file_without_steps_has_a_page():
    program = odenet.loads("state Y\nparam K : dense\nY' = -K^T tanh(K Y)\n", name="flow.ode")
    html = page_html(build_page(program))
    check_page(html)
    assert "no <code>discretise</code> line" in html and "real and at most 0" in html


def test_html_in_a_file_is_escaped():
    spec = '"<script>alert(1)</script> & more"\nstate Y\nparam K : dense\nY\' = tanh(K Y)\n'
    html = page_html(build_page(odenet.loads(spec, name="<b>.ode")))
    check_page(html)
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html


def test_the_same_specification_gives_the_same_page(program, html):
    assert page_html(build_page(program, measure_untrained(program))) == html


def test_measuring_leaves_the_random_state_as_it_was(program):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    measure_untrained(program)
    assert torch.equal(torch.rand(2), expected)


def test_the_dots_of_the_stability_figure_are_h_times_the_eigenvalues_of_the_jacobian(
    program, monkeypatch
):
    points_by_label = {}

    def record_points(tested, points, weights_text):
        points_by_label.update(points)

    monkeypatch.setattr("odenet.report.measured.stability_figure", record_points)
    stability_of_weights(program, measure_untrained(program))
    # The same weights and inputs as those measured; the spectrum is that of the first input.
    torch.manual_seed(0)
    network = program.network().eval()
    u = network[0](torch.randn(8, 1, 8, 8))[:1]
    flow = network[1]
    h, size = 1 / 8, 2 * 8 * 8  # size of Y and of Z: the four channels are split between them
    (y, z), expected = u.double().split(2, 1), []
    K1, K2 = flow.K1.double(), flow.K2.double()
    for step in (0, 1, 2):

        def rates(flat, step=step):  # biases begin at 0
            y, z = flat.view(2, 1, 2, 8, 8)
            conv, adjoint = torch.nn.functional.conv2d, torch.nn.functional.conv_transpose2d
            y_rate = adjoint(torch.tanh(conv(z, K1[step], padding=1)), K1[step], padding=1)
            z_rate = -adjoint(torch.tanh(conv(y, K2[step], padding=1)), K2[step], padding=1)
            return torch.cat([y_rate.flatten(), z_rate.flatten()])

        flat = torch.cat([y.flatten(), z.flatten()])
        if step != 1:  # the page draws the first and the last step
            jacobian = torch.autograd.functional.jacobian(rates, flat)
            expected.append(h * np.linalg.eigvals(jacobian.numpy()))
        y, z = flat.view(2, 1, 2, 8, 8)
        y = y + h * rates(flat)[:size].view_as(y)
        z = z + h * rates(torch.cat([y.flatten(), z.flatten()]))[size:].view_as(z)
    expected = np.sort(np.abs(np.concatenate(expected)))
    actual = np.sort(np.abs(points_by_label["the flow"]))
    assert len(actual) == len(expected) == 2 * 2 * size  # of two steps
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


def test_a_refuted_verdict_shows_its_counterexample():
    spec = "state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise euler(h = 0.1)\n"
    refuted = verdict(odenet.loads(spec))
    assert (refuted.word, refuted.steps) == ("refuted", [])  # without the steps of a proof
    assert any("search_witness" in reason for reason in refuted.reasons)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_a_browser_shows_a_page_400_pixels_wide_without_scrolling_or_messages(html, tmp_path):
    log_width = (
        "addEventListener('load', () => console.log('WIDTH', document.documentElement.scrollWidth))"
    )
    (tmp_path / "inner.html").write_text(
        html.replace("</body>", f"<script>{log_width}</script></body>")
    )
    frame = '<iframe src="inner.html" style="width:400px;height:6000px;border:0"></iframe>'
    outer = tmp_path / "outer.html"
    outer.write_text(f"<!doctype html><body>{frame}")
    browser = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}",
         "--window-size=600,6000", outer.as_uri()],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    messages = re.findall(r'CONSOLE:\d+\] "(.*?)", source', browser.stderr)
    assert messages == ["WIDTH 400"]
    assert (tmp_path / "page.png").stat().st_size > 20_000  # not blank
