"""The scripts of examples/ at a small size, with the paper's claim that each figure shows."""

import importlib
import os
from pathlib import Path

import pytest
import torch
from torchvision.transforms.functional import to_pil_image

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Runs a script's main with arguments; figures go to a folder of the test."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, *arguments):
        return importlib.import_module(name).main([*map(str, arguments), "--out", str(tmp_path)])

    run.folder = tmp_path
    return run


def test_momentum_crosses_where_the_resnet_fails(example):
    results = example("crossing", "--iterations", 60)
    # each network adds something to the one before it: a velocity, its start at f(x), a larger γ
    resnet, momentum, with_initial_velocity, with_gamma_99 = (
        error for error, _ in results.values()
    )
    assert resnet > 0.15  # all points are sent to 0, which has an error of 0.16, the mean of x^6
    assert with_initial_velocity < momentum < 0.04
    assert with_gamma_99 < 0.005
    _, (end_of_minus_1, end_of_1) = results["and γ = 0.99"]
    assert end_of_minus_1 > 0.85
    assert end_of_1 < -0.85
    assert (example.folder / "crossing.png").stat().st_size > 10_000


def test_momentum_separates_the_rings_where_the_resnet_fails(example):
    accuracies = example("rings", "--iterations", 400)
    assert accuracies["ResNet"] < 0.7 < accuracies["Momentum ResNet"]
    assert accuracies["and γ = 0.99"] > 0.93
    assert (example.folder / "rings.png").exists()


def test_of_the_learned_optimisers_the_revnet_alone_diverges_with_depth(example):
    costs = example("lista", "--iterations", 100, "--samples", 100, "--deepest", 6)
    lista, momentum, momentum_09, revnet = costs.values()  # each a list over depths
    assert revnet[-1] > 2 * lista[-1]
    assert revnet[-1] > revnet[0]
    assert momentum[-1] < 1.05 * lista[-1]
    assert lista[-1] < lista[0]
    assert lista[-1] < momentum_09[-1] < momentum_09[0]  # γ = 0.9 converges too, but more slowly


def test_fitted_linear_networks_represent_the_maps_of_theorem_1_only(example):
    least_eigenvalues, distances = example("representable", "--steps", 30)
    for least, fitted in least_eigenvalues.values():
        assert fitted == pytest.approx(least, abs=0.04)
    least, _ = least_eigenvalues[0.5]
    # A pair of eigenvalues, and the distance of the best map that was fitted to them. By Theorem 1
    # an eigenvalue below the least one has to occur an even number of times.
    for pair, distance in distances.items():
        representable = min(pair) > least or pair[0] == pair[1]
        assert (distance < 1e-3) == representable, pair
    assert distances[0.5, -1.0] == pytest.approx(least + 1.0, abs=0.05)


def test_the_least_eigenvalue_is_that_of_the_equation_s_solution(example):
    """For ε x'' + x' = θ x with x(0) = 1 and x'(0) = 0 it is the least x(1) over all numbers θ."""
    example("representable", "--steps", 3)
    least_eigenvalue = importlib.import_module("representable").least_eigenvalue
    for epsilon in (0.2, 1.0, 4.0):
        # (x, x')' = matrix (x, x'), for 3,001 values of θ from -60 to 0.
        matrices = torch.zeros(3001, 2, 2, dtype=torch.float64)
        matrices[:, 0, 1] = 1.0
        matrices[:, 1, 0] = torch.linspace(-60, 0, 3001) / epsilon
        matrices[:, 1, 1] = -1 / epsilon
        expected = torch.linalg.matrix_exp(matrices)[:, 0, 0].min().item()
        assert least_eigenvalue(epsilon) == pytest.approx(expected, abs=1e-3)


def test_a_changed_γ_costs_accuracy_that_a_short_refit_gives_back(example, monkeypatch):
    monkeypatch.setattr(importlib.import_module("gamma"), "GAMMAS", (0.0, 0.9))
    accuracies = example("gamma", "--epochs", 2, "--refit", 1)
    for accuracy in accuracies["trained with the γ in use"]:
        assert accuracy > 0.9
    _, without_refit = accuracies["trained with γ = 0.0"]  # tested with γ = 0 and γ = 0.9
    assert without_refit < 0.8
    without_refit, _ = accuracies["trained with γ = 0.9"]
    assert without_refit < 0.9
    for γ in (0.0, 0.9):
        assert min(accuracies[f"trained with γ = {γ}, refitted"]) > 0.9


def test_depth_costs_a_momentum_network_no_memory(example):
    peaks = example("depth_memory", "--size", 200, "--depths", 3, 30)
    assert peaks["ResNet"][30] > 4 * peaks["ResNet"][3]
    for kind in ("Momentum ResNet", "exact"):
        assert peaks[kind][30] < 1.1 * peaks[kind][3]


def test_a_very_deep_momentum_network_holds_less_than_its_resnet(example):
    peaks = example("very_deep", "--blocks", 8, "--size", 16, "--batches", 4, 8)
    resnet, momentum = peaks["ResNet"], peaks["Momentum ResNet"]
    # Four more pictures take more memory in the ResNet than in the momentum network.
    assert resnet[8] - resnet[4] > 1.3 * (momentum[8] - momentum[4])
    assert (example.folder / "very_deep.png").exists()


def test_networks_of_ode_blocks_are_trained_beside_one_without(example):
    accuracies = example("ode_blocks", "--blocks", 2, "--steps", 2, "--widths", 2)
    assert {name for name, _ in accuracies} == {"no ODE blocks", "first order", "second order"}
    assert all(0 <= accuracy <= 1 for runs in accuracies.values() for accuracy in runs)
    assert (example.folder / "ode_blocks.png").exists()


@pytest.fixture
def children_import_odenet(monkeypatch):
    """Child processes find the packages that this one runs."""
    root = str(EXAMPLES.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))


def test_memory_is_measured_by_model_method_and_batch(example, children_import_odenet, monkeypatch):
    memory = importlib.import_module("memory")
    methods = {"original": memory.original, "odenet": memory.METHODS["odenet"]}
    monkeypatch.setattr(memory, "METHODS", methods)
    peaks = example("memory", "--models", "resnet18", "--batches", 8, "--size", 64)
    assert {method for _, method in peaks} == set(methods)
    assert all(mib_by_batch[8] > 10 for mib_by_batch in peaks.values())
    assert (example.folder / "memory.png").exists()


@pytest.fixture
def pictures(tmp_path):
    """Two classes that differ by their brightness."""
    torch.manual_seed(0)
    for split, count in (("train", 8), ("val", 4)):
        for class_name, brightness in (("dark", 0.2), ("light", 0.8)):
            folder = tmp_path / "pictures" / split / class_name
            folder.mkdir(parents=True)
            for i in range(count):
                picture = brightness + 0.1 * torch.rand(3, 40, 40)
                to_pil_image(picture).save(folder / f"{i}.png")
    return tmp_path / "pictures"


def test_both_networks_are_fine_tuned_on_a_folder(example, pictures):
    options = ("--weights", "none", "--size", 32, "--epochs", 2, "--batch", 4)
    curves = example("finetune", pictures, *options)
    assert list(curves) == ["ResNet", "Momentum ResNet"]
    assert all(0 <= accuracy <= 1 for curve in curves.values() for _, accuracy in curve)
    assert (example.folder / "finetune.png").exists()


def test_memory_is_measured_in_a_process_of_its_own(pictures, monkeypatch, children_import_odenet):
    monkeypatch.syspath_prepend(EXAMPLES)
    finetune = importlib.import_module("finetune")
    arguments = finetune.parse([str(pictures), "--size", "32", "--weights", "none"])
    assert finetune.peak_memory(arguments, "Momentum ResNet", batch=2) > 50


def test_weights_that_cannot_be_loaded_end_the_script_with_the_reason(
    example, pictures, monkeypatch
):
    def fails(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    with pytest.raises(SystemExit, match=r"weights of resnet18 cannot be loaded: no route to host"):
        example("finetune", pictures)
