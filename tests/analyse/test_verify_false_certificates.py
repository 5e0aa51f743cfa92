"""The checker of certificates refuses false and malformed ones, and is a small file of its own.

The certificates are written by hand: JSON with formulas as nested lists. docs/certificates.md
explains the keys. `T` of a block is [v, p], the change of variables that multiplies unit v by p; in
a formula, ["T", A] is the adjoint of A.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from odenet import verify
from tests.analyse.certificates import STABLE, TWO_STATES, certificate

ROOT = Path(__file__).parents[2]
CASCADE = (
    "state Y, Z\nparam A, K, L : dense\nY' = tanh((K - K^T) Y)\nZ' = A tanh(Y) - L^T relu(L Z)"
)


def block(M: Any, factors: list, kind: str = "antisymmetric", **changes: Any) -> dict[str, Any]:
    """The part of a certificate that claims `kind` of C M, here for one state and C = I."""
    return {
        "states": ["Y"],
        "decay": {},
        "factors": factors,
        "T": [],
        "M": M,
        "kind": kind,
        "weights": [[["1", {}]] for _ in factors],
        "squares": [],
    } | changes


def handwritten(
    equation: Any, units: dict, M: Any, verdict: str = "imaginary", **changes: Any
) -> dict[str, Any]:
    """A certificate of one equation for Y that claims M antisymmetric."""
    return {
        "format": "odenet certificate 1",
        "verdict": verdict,
        "conditions": [{"kind": "constant weights"}],
        "kinds": {"K": "dense", "d": "diag", "b": "bias"},
        "values": {},
        "equations": {"Y": equation},
        "units": units,
        "forcing": {},
        "blocks": [block([[M]], list(units))],
        "energy": None,
    } | changes


SKEW = ["+", "K", ["*", "-1", ["T", "K"]]]
ZERO = ["*", "0", "I"]
TANH, RELU, GELU = ["call", "tanh"], ["call", "relu"], ["call", "gelu"]
# conditions; SIGN needs "of", the name that it is about
SIGN = {"kind": "sign"}
CONSTANT_WEIGHTS = {"kind": "constant weights"}


def unit(stages: list, row: Any = SKEW, column: Any = "I") -> dict[str, Any]:
    """The units of a certificate with only one, φ1."""
    return {"φ1": {"map": stages, "row": {"Y": row}, "column": {"Y": column}}}


def test_a_true_certificate_written_by_hand_is_verified(judge):
    equation = [*TANH, ["*", SKEW, "Y"]]
    assert judge(handwritten(equation, unit([TANH]), SKEW))[0] == 0


def test_chains_with_the_same_numbers_in_other_places_are_not_unit(judge):
    inner = ["call", "sigmoid", ["*", "2", ["call", "tanh", ["*", "K", "Y"]]]]
    outer = ["*", "2", ["call", "sigmoid", ["call", "tanh", ["*", "K", "Y"]]]]
    terms = [["*", ["T", "K"], ["call", "tanh", inner]],
             ["*", "-1", ["T", "K"], ["call", "tanh", outer]]]  # fmt: skip
    chain = [TANH, ["*", "2"], ["call", "sigmoid"], TANH]
    assert judge(handwritten(["+", *terms], unit(chain, "K", ZERO), ZERO))[0] == 1


def factor(slope: str, row: Any, column: Any) -> dict[str, Any]:
    """A factor L D R of the Jacobian, with the diagonal D of slopes."""
    return {"slope": slope, "row": {"Y": row}, "column": {"Y": column}}


# what is false -> certificate
FALSE = {
    "a state hides in an offset": handwritten(
        ["+", ["*", "-9", SKEW, "Y"], [*TANH, ["*", SKEW, "Y"]]],
        unit([["+", ["*", "-9", "Y"]], TANH]), SKEW),
    "a stage has a part too many": handwritten(
        ["*", "-9", SKEW, "Y"], unit([["*", "1", "-9"]]), SKEW),
    "the number after a function is an operator": handwritten(
        ["*", "K", SKEW, "Y"], unit([["*", "K"]]), SKEW),
    "a constant is left out": handwritten(
        ["call", "leaky_relu", ["*", SKEW, "Y"]], unit([["call", "leaky_relu"]]), SKEW,
        blocks=[block([[SKEW]], [factor("I", SKEW, "I")])]),
    "a slope is an operator": handwritten(
        ["*", "K", "Y"], unit([], "K"), "K",
        blocks=[block([["I"]], [factor("K", "I", "I")], "dissipative")]),
    "a state counts twice": handwritten(
        [*TANH, ["*", SKEW, "Y"]], unit([TANH]), SKEW,
        blocks=[block([[["*", "2", SKEW]]], ["φ1"], states=["Y", "Y"])]),
    "the identity is redefined": handwritten(
        ["*", "K", "Y"], unit([], "I"), "I", kinds={"K": "dense", "I": "dense"}),
    "a state has the name of an operator": handwritten(
        ["*", "Y", "Y"], unit([], "Y"), "Y", kinds={"Y": "dense"}),
    "a slope has the name of a diagonal": handwritten(
        ["*", "φ1'", "Y"], unit([], "φ1'"), "φ1'", kinds={"φ1'": "diag"}),
    "an activation has the name of a norm": handwritten(
        ["call", "gelu", ["*", SKEW, "Y"]], unit([GELU]), SKEW, kinds={
            "K": "dense", "gelu": "batch norm"},
        conditions=[CONSTANT_WEIGHTS, {"kind": "gain", "of": "gelu"},
                    {"kind": "frozen statistics", "of": "gelu"}]),
    "a condition about an operator": handwritten(
        [*TANH, ["*", "-1", "K", "Y"]], unit([TANH], ["*", "-1", "K"]), ["*", "-1", "K"], "stable",
        conditions=[CONSTANT_WEIGHTS, SIGN | {"of": "K"}],
        blocks=[block([[["*", "-1", "K"]]], ["φ1"], "dissipative",
                      squares=[[[["2", {"K": "1"}]], ["I"]]])]),
    "a condition about a slope": handwritten(
        [*GELU, ["*", SKEW, "Y"]], unit([GELU]), SKEW,
        conditions=[CONSTANT_WEIGHTS, SIGN | {"of": "φ1'"}]),
    "a root of a diagonal of any sign": handwritten(
        ["*", "-1", "d", "Y"], unit([], ["*", "-1", "d"]), ["*", "-1", "d"], "stable",
        blocks=[block([[["*", "-1", "d"]]], ["φ1"], "dissipative",
                      squares=[[[["2", {}]], [["^", "d", "1/2"]]]])]),
    "a function that falls": handwritten(
        ["*", "-1", [*TANH, ["*", SKEW, "Y"]]], unit([TANH, ["*", "-1"]]), SKEW),
    "a gate of any function": handwritten(
        ["*", "-1", "K", "[g]", ["T", "K"], "Y"],
        unit([], ["*", "-1", "K", "[g]", ["T", "K"]]), ["*", "-1", "K", "[g]", ["T", "K"]], "stable",
        kinds={"K": "dense", "b": "bias", "[g]": "gate"}, values={"[g]": [*TANH, "b"]},
        blocks=[block([[["*", "-1", "K", "[g]", ["T", "K"]]]], ["φ1"], "dissipative",
                      squares=[[[["2", {"[g]": "1"}]], [["T", "K"]]]])]),
    "a norm of several values": handwritten(
        ["call", "N", ["*", SKEW, "Y"]], unit([["call", "N"]]), SKEW,
        kinds={"K": "dense", "N": "layer norm"}),
    "growth is called decay": handwritten(
        ["+", "Y", [*TANH, ["*", SKEW, "Y"]]],
        unit([TANH]) | {"growth": {"map": [], "row": {"Y": "I"}, "column": {"Y": "I"}}}, SKEW, "stable",
        blocks=[block([[SKEW]], ["φ1"], decay={"Y": [["-1", {}]]})]),
    "an allowance without a decay": handwritten(
        [*TANH, "Y"], unit([TANH], "I"), "I", "stable",
        blocks=[block([["I"]], ["φ1"], "dissipative", allowance=[[[["1", {}]], [], "1"]])]),
    "an allowance for a function of any slope": handwritten(
        ["+", ["*", "-1", "Y"], [*TANH, ["*", "2", "Y"]]],
        unit([["*", "2"], TANH], "I")
        | {"damping": {"map": [], "row": {"Y": ["*", "-1", "I"]}, "column": {"Y": "I"}}}, "I", "stable",
        blocks=[block([["I"]], ["φ1"], "dissipative", decay={"Y": [["1", {}]]},
                      allowance=[[[["1", {}]], [], "1"]])]),
    "T is zero": handwritten(
        "Y", unit([], "I"), "I", blocks=[block([[ZERO]], ["φ1"], T=[0, ZERO])]),
    "T changes a function": handwritten(
        ["*", "-1", [*RELU, "Y"]], unit([RELU], ["*", "1", "I"], ["*", "-1", "I"]), ZERO, "stable",
        blocks=[block([[["*", "-1", "I"]]], ["φ1"], "dissipative", T=[0, ["*", "2", "I"]],
                      squares=[[[["2", {}]], ["I"]]])]),
    "a rest that still falls": handwritten(
        ["+", ["*", "-1", [*GELU, "Y"]], ["*", "-1/10", "Y"]],
        {"φ1": factor("", "I", ["*", "-1", "I"]) | {"map": [GELU], "rest": ["-1/10", "1"]},
         "moved": factor("", "I", ["*", "1/10", "I"]) | {"map": []},
         "damping": factor("", "I", ["*", "-1/10", "I"]) | {"map": []}}, ZERO, "stable",
        blocks=[block([[["*", "-1", "I"]]], ["φ1"], "dissipative",
                      squares=[[[["2", {}]], ["I"]]])]),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_a_false_certificate_is_refused(name: str, judge):
    code, line = judge(FALSE[name])
    assert code in (1, 2) and "proved: the spectrum" not in line


def test_the_energy_of_an_activation_is_not_that_of_the_identity(judge):
    changed = certificate("state Y\nparam K : dense\nY'' = -K^T sin(K Y)")
    index = next(k for k, f in enumerate(changed["energy"]["factors"]) if f == "φ1")
    rows = {key: changed["units"]["φ1"][key] for key in ("row", "column")}
    changed["energy"]["factors"][index] = {"slope": "I", **rows}
    assert judge(changed) == (1, "not proved: the energy leaves out {'φ1'}")


def test_an_energy_must_count_every_function_exactly_once(judge):
    repeated = factor("I", SKEW, ["*", "-1", "I"])
    row = [SKEW, SKEW, ["+", ["*", "-1", "K"], ["T", "K"]]]
    weights = [[["1", {}]], [["1", {}]], [["-1", {}]]]
    energy = block([row, row, row], ["φ1", "φ1", repeated], weights=weights)
    false = handwritten([*TANH, ["*", SKEW, "Y"]], unit([TANH]), SKEW, energy=energy)
    assert judge(false) == (1, "not proved: the energy leaves out {'φ1'}")


def test_a_driven_state_must_not_act_back(judge):
    changed = certificate(CASCADE)
    changed["blocks"].reverse()
    assert judge(changed)[0] == 1


# --- malformed files -----------------------------------------------------------------------------

DEEP_SUM: Any = "Y"
for _ in range(400):
    DEEP_SUM = ["+", DEEP_SUM]
POWER_TOWER: Any = "2"
for _ in range(30):
    POWER_TOWER = ["^", POWER_TOWER, "99"]
VALID = handwritten(["*", SKEW, "Y"], unit([]), SKEW)
MALFORMED = {
    "nothing": "",
    "not an object": "[]",
    "an empty object": "{}",
    "a number": "7",
    "not JSON": "{'verdict': 1}",
    "half of a file": json.dumps(VALID)[:-9],
    "not text": "\x00\x01",
    "brackets": "[" * 200_000,
    "a long number": VALID | {"equations": {"Y": ["*", "9" * 9999, "Y"]}},
    "a power of a power": VALID | {"equations": {"Y": ["*", POWER_TOWER, "Y"]}},
    "division by zero": VALID | {"equations": {"Y": ["*", ["^", "0", "-1"], "Y"]}},
    "a cycle": VALID | {"kinds": {"K": "dense", "a": "number"}, "values": {"a": ["+", "a", "1"]}},
    "many terms": handwritten(
        ["*", "500", SKEW, "Y"], {str(k): unit([])["φ1"] for k in range(500)}, SKEW
    ),
    "an object as a formula": VALID | {"equations": {"Y": {"Y": "Y"}}},
    "an unknown formula": VALID | {"equations": {"Y": ["eval", "Y"]}},
    "names that are numbers": VALID | {"equations": {"Y": 1.0}},
    "an infinite number": json.dumps(VALID | {"equations": {"Y": ["*", 1e999, "Y"]}}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_reported_in_one_short_line(name: str, judge):
    code, line = judge(MALFORMED[name])
    assert code == 2 and line.startswith("no certificate: ") and len(line) < 300


@pytest.mark.parametrize("tree", [DEEP_SUM, ["*", ["^", "2", f"1/{10**99}"], "Y"]])
def test_absurd_formulas_prove_nothing(tree: Any, judge):
    code, line = judge(VALID | {"equations": {"Y": tree}})
    assert code in (1, 2) and "proved: the spectrum" not in line


# --- the file ----------------------------------------------------------------------------------


def test_the_checker_has_at_most_200_lines_and_imports_numpy_and_the_standard_library():
    text = Path(verify.__file__).read_text("utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    assert names - {"numpy"} <= sys.stdlib_module_names
    assert len(text.splitlines()) <= 200


def test_the_checker_runs_as_a_single_file(tmp_path):
    copied = tmp_path / "verify.py"
    copied.write_text(Path(verify.__file__).read_text("utf-8"), "utf-8")
    data = certificate(TWO_STATES)
    (tmp_path / "certificate.json").write_text(json.dumps(data), "utf-8")
    command = [sys.executable, "-I", copied.name, "certificate.json"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert "proved: the spectrum is imaginary" in process.stdout
    for name, kind in data["kinds"].items():  # a forger could call an operator diagonal
        assert f"{name} : {kind}" in process.stdout


def test_the_same_spec_gives_the_same_bytes():
    code = f"import odenet; print(odenet.loads({STABLE!r} + '\\ndiscretise euler(h = 1)')"
    code += ".certificate_json())"
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1] and json.loads(runs[0])["verdict"] == "stable"
