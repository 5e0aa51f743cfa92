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
    resnet, at_rest, moving, with_gamma_99 = (error for error, _ in results.values())
    assert resnet > 0.15  # sending all points to 0 has 1/7 + 1/64
    assert moving < at_rest < 0.04
    assert with_gamma_99 < 0.005
    (_, (left, right)) = results["and γ = 0.99"]  # where -1 and 1 end
    assert left > 0.85
    assert right < -0.85
    assert (example.folder / "crossing.png").stat().st_size > 10_000


def test_momentum_separates_the_rings_where_the_resnet_fails(example):
    accuracies = example("rings", "--iterations", 400)
    assert accuracies["ResNet"] < 0.7 < accuracies["Momentum ResNet"]
    assert accuracies["and γ = 0.99"] > 0.93
    assert (example.folder / "rings.png").exists()


def test_of_the_learned_optimisers_the_revnet_alone_diverges_with_depth(example):
    costs = example("lista", "--iterations", 100, "--samples", 100, "--deepest", 6)
    lista, momentum, slow_momentum, revnet = (costs[name] for name in costs)
    assert revnet[-1] > 2 * lista[-1]
    assert revnet[-1] > revnet[0]
    assert momentum[-1] < 1.05 * lista[-1]
    assert lista[-1] < lista[0]
    assert lista[-1] < slow_momentum[-1] < slow_momentum[0]  # γ = 0.9 converges too, and is behind


def test_fitted_linear_networks_reach_what_theorem_1_says(example):
    least_eigenvalues, distances = example("representable", "--steps", 30)
    for least, fitted in least_eigenvalues.values():
        assert fitted == pytest.approx(least, abs=0.04)
    least = least_eigenvalues[0.5][0]
    for pair, distance in distances.items():
        representable = min(pair) > least or pair[0] == pair[1]
        assert (distance < 1e-3) == representable, pair
    assert distances[0.5, -1.0] == pytest.approx(least + 1.0, abs=0.05)


def test_the_least_eigenvalue_is_that_of_the_equation_s_solution(example):
    example("representable", "--steps", 3)
    least_eigenvalue = importlib.import_module("representable").least_eigenvalue
    for epsilon in (0.2, 1.0, 4.0):
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
    assert accuracies["trained with γ = 0.0"][1] < 0.8
    assert accuracies["trained with γ = 0.9"][0] < 0.9
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
    assert resnet[8] - resnet[4] > 1.3 * (momentum[8] - momentum[4])  # what a picture costs
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


def test_memory_is_measured_by_network_kind_and_batch(example, children_import_odenet, monkeypatch):
    memory = importlib.import_module("memory")
    kinds = {"original": memory.original, "odenet": memory.METHODS["odenet"]}
    monkeypatch.setattr(memory, "METHODS", kinds)
    peaks = example("memory", "--models", "resnet18", "--batches", 8, "--size", 64)
    assert {kind for _, kind in peaks} == set(kinds)
    assert all(row[8] > 10 for row in peaks.values())
    assert (example.folder / "memory.png").exists()


@pytest.fixture
def pictures(tmp_path):
    """Two classes that differ by their brightness."""
    torch.manual_seed(0)
    for part, count in (("train", 8), ("val", 4)):
        for kind, level in (("dark", 0.2), ("light", 0.8)):
            folder = tmp_path / "pictures" / part / kind
            folder.mkdir(parents=True)
            for i in range(count):
                noise = 0.1 * torch.rand(3, 40, 40) + level
                to_pil_image(noise).save(folder / f"{i}.png")
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
    assert finetune.peak_memory(arguments, "Momentum ResNet", 2) > 50


def test_weights_that_cannot_be_had_end_the_script_with_the_reason(example, pictures, monkeypatch):
    def fails(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    with pytest.raises(SystemExit, match=r"weights of resnet18 cannot be loaded: no route to host"):
        example("finetune", pictures)
