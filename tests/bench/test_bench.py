"""`odenet bench`, the comparison with other libraries, at a size that takes a second."""

import sys

import pytest

pytest.importorskip("bench", reason="bench/ lies beside the package in a checkout only")

from bench import run as comparison
from bench import worker
from bench.networks import NETWORKS, Size
from odenet import cli
from odenet.cli import benching

pytestmark = pytest.mark.slow

IMPLEMENTATIONS = (
    "plain autograd",
    "torch.utils.checkpoint",
    "by hand",
    "odenet",
    "odenet, half the memory",
)
FEW_IMPLEMENTATIONS = ("plain autograd", "torch.utils.checkpoint", "revlib", "odenet")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`odenet bench`, run without child processes; gives its exit code and the output folder."""
    monkeypatch.setattr(comparison, "_run_worker", worker.perform)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["odenet", "bench", *arguments, "-o", str(tmp_path)])
        with pytest.raises(SystemExit) as system_exit:
            cli.main()
        return system_exit.value.code or 0, tmp_path

    return run


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # other libraries warn
def test_the_command_writes_a_table_per_network_and_a_plot(command):
    options = ["--depths", "2,3", "--repeats", "1", "--batch", "2", "--channels", "4"]
    only = [part for name in FEW_IMPLEMENTATIONS for part in ("--only", name)]
    code, folder = command(*options, "--side", "6", "--layers", "6,20", *only)
    assert code == 0
    text = (folder / "RESULTS.md").read_text()
    for network in NETWORKS.values():
        assert network.title in text
    for name in FEW_IMPLEMENTATIONS:  # also those that are not installed
        assert text.count(f"| {name} |") == len(NETWORKS)
    assert "MiB per step" in text and "tokens/s" in text and "| 20 |" in text
    assert (folder / "time_memory.svg").stat().st_size > 1000

    # Another call for one network replaces the part on that network and keeps the others.
    again = ["--network", "transformer", "--layers", "", "--only", "odenet", "--channels", "12"]
    code, _ = command("--depths", "1", "--repeats", "1", "--batch", "2", "--side", "5", *again)
    assert code == 0
    old, new = text.split("\n## "), (folder / "RESULTS.md").read_text().split("\n## ")
    assert [part.partition(";")[0] for part in new] == [part.partition(";")[0] for part in old]
    changed = [b for a, b in zip(old, new, strict=True) if a.strip() != b.strip()]
    assert len(changed) == 1 and "input 2×5×12" in changed[0]


@pytest.mark.parametrize("network", NETWORKS)
def test_all_implementations_compute_the_same_network(network, tmp_path):
    size = Size(batch=2, channels=12, side=6, steps=3)
    worker.perform(worker.Job("reference", str(tmp_path), network, (size,)))
    evaluations = {"plain autograd": 1, "by hand": 2, "odenet": 2}
    # of each right-hand side in both passes; for the others the number is not fixed
    for name in IMPLEMENTATIONS:
        (details,) = worker.perform(worker.Job("details", str(tmp_path), network, (size,), (name,)))
        assert details["error"] < 1e-5
        assert name not in evaluations or details["evaluations"] == evaluations[name]
        # These two evaluate a batch norm again as in the forward pass, which counts the batch twice.
        updates_twice = name in ("torch.utils.checkpoint", "by hand")
        assert details["batch_norm_updates"] == (
            (2 if updates_twice else 1) if network == "momentum" else None
        )


def test_a_result_that_is_missing_has_its_reason(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "revlib", None)  # as if it were not installed
    sizes = (Size(batch=2, channels=4, side=6, steps=2),)
    job = worker.Job("details", str(tmp_path), "momentum", sizes, ("revlib",))
    assert worker.perform(job) == {"missing": "not installed (revlib)"}
    job = worker.Job("details", str(tmp_path), "hamiltonian", sizes, ("momentumnet",))
    assert worker.perform(job) == {"missing": "has momentum networks only"}


def test_an_installed_package_says_where_the_benchmark_is(command, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benching.odenet, "__file__", str(tmp_path / "odenet" / "__init__.py"))
    code, _ = command()
    assert code == 1
    assert "pip install -e '.[bench]'" in capsys.readouterr().err


def test_an_unknown_network_is_refused(command, capsys):
    code, _ = command("--network", "diffusion")
    assert code == 2
    assert "hamiltonian, momentum, transformer" in capsys.readouterr().err


def test_depths_that_are_not_numbers_are_refused(command, capsys):
    code, _ = command("--depths", "four")
    assert code == 2
    assert "such as 4,16" in capsys.readouterr().err
