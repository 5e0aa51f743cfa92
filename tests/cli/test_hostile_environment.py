"""Hostile names, unwritable outputs, signals and closed streams are answered in plain text."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odenet import cli
from odenet.diagnostics import printable
from tests.file_faults import make_device

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "specs" / "digits.ode"
SHORT_RUN = ("--set", "n=2", "--epochs", "1", "--fraction", "0.05", "--set", "batch=16")
# Markup, quotes, commands of a terminal, a line break, a reversal of direction, and no UTF-8.
HOSTILE_NAME = "[red]m[`blue] $x_{ a::b \x1b[31m\u202e\n:smile: q'\"q \udcff"


@pytest.fixture
def odenet(monkeypatch, capsys, tmp_path):
    """A function that runs a command in an empty folder: gives its exit code and all its output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["odenet", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as system_exit:
            code = system_exit.code or 0
        return code, "".join(capsys.readouterr())

    return run


def assert_shown_plainly(text):
    """Fail if a text has a traceback, or a character that a terminal would obey."""
    assert "Traceback" not in text
    assert [char for char in text if not (char.isprintable() or char in "\t\n")] == []


def test_a_run_with_a_hostile_name_is_trained_resumed_evaluated_and_compared(odenet):
    for arguments in (
        ("train", DIGITS, *SHORT_RUN, "--out", HOSTILE_NAME),
        ("train", "--resume", HOSTILE_NAME),
        ("eval", HOSTILE_NAME),
        ("compare", HOSTILE_NAME, "-o", f"{HOSTILE_NAME}.png"),
    ):
        code, text = odenet(*arguments)
        assert code == 0, text
        assert_shown_plainly(text)
    assert Path(f"{HOSTILE_NAME}.png").read_bytes()[:4] == b"\x89PNG"


def test_a_spec_with_a_hostile_name_is_compiled_checked_and_formatted(odenet, tmp_path):
    spec = tmp_path / f"{HOSTILE_NAME}.ode"
    spec.write_text('"\x1b[2J \u202e evil \\N{DIGIT ONE}"\n' + DIGITS.read_text())
    missing = tmp_path / f"{HOSTILE_NAME}.no"
    for arguments in (
        ("fmt", spec),
        ("check", "--no-numeric", spec),
        ("compile", spec, "-o", "net.py"),
        ("compile", spec),
        ("compile", spec, "--emit", "py"),
        ("compile", spec, "--emit", "json"),
        ("compile", missing),
    ):
        code, text = odenet(*arguments)
        assert code == (1 if missing in arguments else 0), text
        assert_shown_plainly(text)
    for name in ("net.py", "net.certificate.json"):
        assert_shown_plainly(Path(name).read_text(encoding="utf-8"))
    compile(Path("net.py").read_text(encoding="utf-8"), "net.py", "exec")
    json.loads(Path("net.certificate.json").read_text(encoding="utf-8"))


def test_characters_that_are_not_printable_are_replaced():
    assert printable("Ψ' = −K^T σ(K Ψ), naïve 漢字\t✓") == "Ψ' = −K^T σ(K Ψ), naïve 漢字\t✓"
    assert printable("a\x1b\n\u202e\udcff\x9bz") == "a\ufffd\ufffd\ufffd\ufffd\ufffdz"


def test_a_file_that_is_not_text_is_not_replaced(odenet, tmp_path):
    (tmp_path / "digits.py").write_bytes(b"\xff\xfe mine")
    code, text = odenet("compile", DIGITS)
    assert code == 1 and "was not written by odenet" in text
    assert (tmp_path / "digits.py").read_bytes() == b"\xff\xfe mine"


def test_the_specification_is_not_replaced_by_its_module(odenet, tmp_path):
    (tmp_path / "a.ode").write_bytes(DIGITS.read_bytes())
    (tmp_path / "link.py").symlink_to("a.ode")
    for output in ("a.ode", "link.py"):
        code, text = odenet("compile", "a.ode", "-o", output)
        assert code == 1 and "this is the specification" in text
    assert (tmp_path / "a.ode").read_bytes() == DIGITS.read_bytes()


def test_an_output_that_is_a_device_is_not_replaced_and_has_no_certificate_beside_it(
    odenet, tmp_path
):
    null = make_device(tmp_path / "null", minor=3)
    code, text = odenet("compile", DIGITS, "-o", null)
    assert code == 0 and f"wrote {null} (proofs: --proof)\n" in text
    assert null.is_char_device() and os.listdir(tmp_path) == ["null"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", DIGITS, *SHORT_RUN, "--out", "file/below"),
        ("compile", DIGITS, "-o", "file/below.py"),
        ("convert", "resnet18", "--weights", "none", "-o", "file/below.pt"),
    ],
)
def test_a_path_that_cannot_be_written_is_reported(odenet, tmp_path, arguments):
    (tmp_path / "file").write_text("")
    code, text = odenet(*arguments)
    assert code == 1
    assert "error[unwritable-file]: this cannot be written: " in text and "file/below" in text
    assert "Traceback" not in text


def test_a_data_folder_with_a_hostile_name_is_looked_for_under_that_name(odenet):
    code, text = odenet("train", DIGITS, "--data", 'folder:a"b\n')
    assert code == 1 and "does not exist" in text and "Traceback" not in text


def test_a_standard_output_on_a_full_disk_is_reported(tmp_path):
    with make_device(tmp_path / "full", minor=7).open("wb") as full:
        process = odenet_process("compile", DIGITS, "-o", tmp_path / "a.py", stdout=full)
        _, errors = process.communicate()
    assert process.returncode == 1
    assert errors == b"error[unwritable-file]: the output cannot be written: the disk is full\n"


def odenet_process(*arguments, **streams):
    """A process that runs a command; output and errors are pipes unless `streams` has others."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "odenet", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    )


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_a_message_and_the_usual_exit_code(tmp_path, signal_number):
    os.mkfifo(tmp_path / "pipe")  # that nobody reads: the command waits there
    process = odenet_process("compile", DIGITS, "-o", tmp_path / "pipe")
    os.read(process.stdout.fileno(), 1)  # returns when the command has printed something
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal_number
    assert errors.decode() == f"\nstopped by {signal_number.name}\n"


def test_a_second_ctrl_c_while_training_says_how_to_go_on(odenet, tmp_path, monkeypatch):
    from odenet.training.learning.task import Task

    original_step = Task.training_step

    def training_step(task, batch, index):
        if task.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return original_step(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        code, text = odenet("train", DIGITS, *SHORT_RUN)
    assert code == 128 + signal.SIGINT and "go on with: odenet train --resume runs/digits-1" in text
    assert odenet("train", "--resume", "runs/digits-1")[0] == 0


@pytest.mark.parametrize(
    ("line", "code", "message"),  # in a shell, >&- closes a stream
    [
        ("schemes >&-", 0, ""),
        ("schemes >&- 2>&- <&-", 0, ""),
        ("check nothing.ode >&-", 1, "there is no such file"),
        ("fmt - <&-", 0, ""),
    ],
)
def test_a_stream_that_the_caller_has_closed_is_treated_as_empty(tmp_path, line, code, message):
    command = f"exec {shlex.quote(sys.executable)} -m odenet {line}"
    result = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


# Runs `odenet train`; exits with 7 as soon as something imports torch.
NO_TORCH = """
import builtins, sys
original_import = builtins.__import__

def refuse_torch(name, *rest, **more):
    if name.partition(".")[0] in ("torch", "lightning", "torchvision", "torchmetrics"):
        raise SystemExit(7)
    return original_import(name, *rest, **more)

builtins.__import__ = refuse_torch
from odenet.cli import main
sys.argv = ["odenet", "train", *sys.argv[1:]]
main()
"""


def test_training_prints_its_heading_before_torch_is_imported():
    run = subprocess.run([sys.executable, "-c", NO_TORCH, DIGITS], capture_output=True, text=True)
    heading, data, net, verdict, claims = run.stdout.splitlines()
    assert run.returncode == 7 and heading.startswith("digits: ")
    assert "data digits: 1,437 training and 360 test pictures, 10 classes" in data
    assert "input (1, 8, 8); " in net and " parameters" in net
    assert verdict.endswith("spectrum imaginary (proved)") and "reversible proved" in claims


def test_a_claim_that_does_not_hold_is_refused_before_torch_is_imported(tmp_path):
    spec = tmp_path / "a.ode"
    spec.write_text(Path(DIGITS).read_text().replace("K1^T σ", "K2 σ"), encoding="utf-8")
    run = subprocess.run([sys.executable, "-c", NO_TORCH, spec], capture_output=True, text=True)
    assert run.returncode == 1 and "is refuted" in run.stderr
