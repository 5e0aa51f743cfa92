"""The source text of generated modules: recorded, reproducible, and accepted by ruff."""

import linecache
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import odenet
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.runtime import Flow

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.ode"))
VALID_SPECS = Path(__file__).parents[1] / "model" / "good"
PRINT_SOURCE = (
    "import odenet, sys; sys.stdout.buffer.write(odenet.load(sys.argv[1]).source().encode())"
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_generated_modules_are_as_recorded(spec, golden):
    golden(f"modules/{spec.stem}.py", odenet.load(spec).source())


def test_a_module_with_constants_that_differ_from_step_to_step_is_as_recorded(golden):
    golden(
        "modules/constants_by_step.py", odenet.load(VALID_SPECS / "constants_by_step.ode").source()
    )


@pytest.mark.parametrize("spec", SPECS[:3], ids=lambda path: path.stem)
def test_the_same_input_gives_the_same_bytes_whatever_the_hash_seed(spec):
    texts = {
        subprocess.run(
            [sys.executable, "-c", PRINT_SOURCE, str(spec)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(texts) == 1


def test_an_error_in_a_generated_module_shows_its_line():
    flow = odenet.load(SPECS[0]).flow(channels=4, steps=1)
    code = type(flow).advance.__code__
    assert "def advance" in linecache.getline(code.co_filename, code.co_firstlineno)


@pytest.mark.parametrize("name", library_names())
def test_every_scheme_of_the_library_compiles_on_several_states(name):
    second_order_spec = (
        "state A, B\nparam K : dense\nparam L : dense\nA'' = -tanh(K B)\nB'' = -tanh(L A)\n"
    )
    first_order_spec = (
        "state A, B, C, D\nparam K, L : dense\nA' = K tanh(C + D)\nB' = tanh(L D)\n"
        "C' = -K^T tanh(A)\nD' = -tanh(L B + A)\n"
    )
    pattern = library_scheme(name).patterns[-1]
    spec = second_order_spec if pattern.order == 2 else first_order_spec
    if pattern.decay:  # the scheme needs a decay term, the same for all states of an unknown
        damped_states = "CD" if len(library_scheme(name).patterns) == 2 else "ABCD"
        # C' = … gets - 0.3 C, and A'' = … gets - 0.3 A'.
        spec = "".join(
            f"{line} - 0.3 {line[: line.index('=') - 2].strip()}\n"
            if "'" in line and line[0] in damped_states
            else f"{line}\n"
            for line in spec.splitlines()
        )
    constants = "(h = 0.1)" if library_scheme(name).uses_step_size else ""
    program = odenet.loads(f"{spec}discretise {name}{constants}\n")
    compile(program.source(space=0), name, "exec")


@pytest.mark.parametrize(
    ("layers_before", "operator", "space"),
    [
        ("input(8)", "dense", 0),
        ("input(2, 6, 6) -> flatten -> dense(8)", "dense", 0),
        ("input(3, 9) -> conv(3, 8)", "conv(3)", 1),
        ("input(3, 6, 6) -> conv(3, 8)", "conv(3)", 2),
    ],
)
def test_a_flow_has_the_dimensions_of_the_layer_before_it(layers_before, operator, space):
    head = "mean -> dense(10)" if space else "dense(10)"
    program = odenet.loads(
        f"state Y\nparam K : {operator}\nparam b : bias\nY' = K tanh(K Y + b)\n"
        f"discretise midpoint(h = 0.1)\nnet = {layers_before} -> flow(2) -> {head}"
    )
    network = program.network()
    flow = next(layer for layer in network if isinstance(layer, Flow))
    assert (flow.space, program.flow(channels=4, steps=2).space) == (space, space)
    assert network(torch.randn(3, *program.input_shape)).shape == (3, 10)


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
def test_generated_modules_pass_a_users_ruff_as_they_are(tmp_path):
    for spec in [*SPECS, VALID_SPECS / "constants_by_step.ode", VALID_SPECS / "strange_names.ode"]:
        (tmp_path / f"{spec.stem}.py").write_text(odenet.load(spec).source(), encoding="utf-8")
    for command in (["check", "--select", "I,E,F,UP,B,SIM,C4,PIE"], ["format", "--diff"]):
        result = subprocess.run(
            ["ruff", *command, "--isolated", "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_function_is_not_imported_for_a_parameter_of_the_same_name():
    text = "state Y\nparam dense, conv : conv(3)\nparam layers : bias\nY' = dense conv Y + layers\n"
    source = odenet.loads(text + "discretise euler(h = 1)\n").source()
    names = re.search(r"from odenet.runtime import ([^\n]*)", source)[1]
    assert names == "Flow, bias, conv, conv_kernel, spectral_radius"
