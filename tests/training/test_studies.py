"""Studies of a run: its metric without some steps, norms, energy and spectrum along the depth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import odenet
from odenet.model.tables.losses import METRICS
from odenet.runtime.singular_value import largest_singular_value
from odenet.training.runs import evaluation, run
from odenet.training.trained_runs.studies import (
    FlowStudy,
    Study,
    depth_law,
    kendall_distance,
    reordered_steps,
    study_run,
)
from odenet.training.trained_runs.study_figures import draw_depth_law

from .test_commands import run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a short run of `specs/digits.ode`."""
    folder = tmp_path_factory.mktemp("runs") / "digits-1"
    thread_count = torch.get_num_threads()  # the fixture `single_thread` runs later, for each test
    torch.set_num_threads(1)
    settings = {"epochs": 1, "fraction": 0.2, "n": 2}
    run.train(ROOT / "specs" / "digits.ode", settings, out=str(folder), console=Console(quiet=True))
    yield folder
    torch.set_num_threads(thread_count)


@pytest.fixture(scope="module")
def study(run_folder):
    return study_run(run_folder, samples=10_000)  # more than there are, so all are used


def test_leaving_out_a_step_is_the_same_as_setting_its_operators_to_zero():
    flow = odenet.load(ROOT / "specs" / "digits.ode").flow(channels=8, steps=4)
    flow.requires_grad_(False)
    u = torch.randn(2, 8, 5, 5)
    with reordered_steps(flow, [0, 1, 3]):  # without step 2
        without_step = flow(u)
    assert not torch.equal(flow(u), without_step)
    for name in flow.operators:
        getattr(flow, name)[2] = 0
    torch.testing.assert_close(flow(u), without_step)


def test_a_study_has_the_metric_without_each_step_the_energies_and_the_spectra(run_folder, study):
    assert [len(flow.metric_without_step) for flow in study.flows] == [2, 2]
    assert [len(flow.energies) for flow in study.flows] == [3, 3]
    steps_with_eigenvalues = [set(flow.eigenvalues) for flow in study.flows]
    assert steps_with_eigenvalues == [{0, 1}, {1}]  # the first step of a unit changes the shape
    assert study.depth == 4
    assert study.value == pytest.approx(evaluation.evaluate(run_folder)["accuracy"])


def test_the_spectrum_of_a_hamiltonian_network_is_imaginary(study):
    for flow in study.flows:
        for values in flow.eigenvalues.values():
            assert np.abs(np.real(values)).max() < 1e-3 * np.abs(values).max()


def test_the_change_norm_of_a_step_lies_between_those_of_single_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "small.ode"
    spec.write_text(
        "state x\nparam K : conv(3)\nx' = tanh(K x)\ndiscretise euler(h = 0.5)\n"
        "net = input(1, 8, 8) -> conv(3, 4) -> pool(2) -> flow(3) -> mean -> dense(10)\n"
        "train {\n data = digits\n epochs = 1\n fraction = 0.05\n batch = 16\n}\n"
    )
    run.train(spec, out="run", console=Console(quiet=True))
    (flow,) = study_run("run", samples=20).flows
    task, data, _ = evaluation.restore("run")
    (module,) = (m for m in task.network.modules() if isinstance(m, odenet.runtime.Flow))
    flow_inputs = []
    module.register_forward_pre_hook(lambda _module, arguments: flow_inputs.append(arguments[0]))
    inputs = data.transforms(data.test.inputs)
    with torch.no_grad():
        task.eval()(inputs)
        states = [state.x for state in module.trajectory(flow_inputs[0])]
    change = (states[1] - states[0]).flatten(1).norm(dim=1)
    assert change.min() < flow.change_norms[0] < change.max()
    assert flow.energies == []


def test_the_power_law_of_step_sizes_that_shrink_with_the_depth_has_exponent_minus_1(tmp_path):
    def study_of_depth(depth):
        ones = [1.0] * depth
        flow = FlowStudy(
            name="flow",
            metric_without_step=ones,
            metric_by_left_out=[(1, 1.0)],
            metric_by_disorder=[(0.5, 1.0)],
            state_norms=ones,
            rate_norms=ones,
            step_sizes=[3 / depth] * depth,
            energies=[],
            eigenvalues={},
            lyapunov_exponent=0.0,
        )
        return Study("run", METRICS["accuracy"], 1.0, [flow])

    studies = [study_of_depth(depth) for depth in (4, 8, 32)]
    assert depth_law(studies) == pytest.approx(-1)
    draw_depth_law(studies, tmp_path / "depth.png")
    assert (tmp_path / "depth.png").stat().st_size > 5_000  # not blank


def test_the_command_prints_a_row_per_flow_and_draws(run_folder, tmp_path):
    output = run_command("study", run_folder, "--samples", 20, "-o", tmp_path)
    assert "4 steps" in output and "one left out" in output
    pictures = {picture.name for picture in (tmp_path / "digits-1").iterdir()}
    assert pictures == {"lesion.png", "several.png", "norms.png", "spectrum.png", "energy.png"}


def test_several_runs_are_drawn_in_one_figure(run_folder, tmp_path):
    run_command("study", run_folder, run_folder, "--samples", 20, "-o", tmp_path)
    assert (tmp_path / "rates.png").stat().st_size > 5_000  # not blank


def test_the_disorder_of_an_order_is_the_share_of_reversed_pairs():
    assert kendall_distance([0, 1, 2, 3]) == 0 and kendall_distance([3, 2, 1, 0]) == 1
    assert kendall_distance([1, 0, 2, 3]) == pytest.approx(1 / 6)
    assert kendall_distance([0]) == 0


def test_the_metric_is_measured_for_numbers_of_steps_left_out_and_degrees_of_disorder(study):
    counts = [[count for count, _ in flow.metric_by_left_out] for flow in study.flows]
    # 1 and three quarters of the steps; the flow of the unit has one step behind the entry.
    assert counts == [[1, 2], [1]]
    for flow in study.flows:
        assert min(disorder for disorder, _ in flow.metric_by_disorder) >= 0
        in_order = {value for disorder, value in flow.metric_by_disorder if disorder == 0}
        assert in_order <= {study.value}


def test_the_largest_singular_value_is_that_of_the_jacobian_of_the_whole_flow():
    torch.manual_seed(0)
    flow = odenet.load(ROOT / "specs" / "digits.ode").flow(channels=4, steps=5).double()
    u = torch.randn(1, 4, 3, 3).double()
    y, z = u.split(2, 1)
    initial_state = torch.cat([y.flatten(), z.flatten()])

    def final_state(flat):
        y, z = flat.view(2, 1, 2, 3, 3)
        for step in range(5):
            y = y + flow.h * flow.rate_Y(z, flow.K1[step], flow.b1[step])
            z = z + flow.h * flow.rate_Z(y, flow.K2[step], flow.b2[step])
        return torch.cat([y.flatten(), z.flatten()])

    jacobian = torch.autograd.functional.jacobian(final_state, initial_state)
    expected = torch.linalg.svdvals(jacobian)[0].item()
    assert largest_singular_value(flow, u, iterations=300) == pytest.approx(expected, rel=1e-6)
    assert largest_singular_value(flow, u) <= expected * (1 + 1e-12)
