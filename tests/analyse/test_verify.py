"""The checker of certificates: what is proved passes, and nothing else does."""

import ast
import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import odenet
from odenet import verify
from tests.analyse.literature import ROWS
from tests.analyse.specs import Drawn

ROOT = Path(__file__).parents[2]
SPECS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "specs").glob("*.ode"))}
TEXTS = SPECS | {row.name: f"{row.text}\ndiscretise euler(h = 0.1)\n" for row in ROWS}
STABLE = "state Y\nparam K : dense\nparam γ : scalar\nY' = tanh((K - K^T - γ I) Y)"
TWO = "state Y, Z\nparam A, B : dense\nparam b : bias\n"
TWO += "Y' = 2 A^T tanh(A Z + b)\nZ' = -3 B^T tanh(B Y)"
NORM = "state Y\nparam K : dense\nparam N : norm(batch)\nY' = -K^T relu(N(K Y))"


def certificate(text: str) -> dict[str, Any]:
    """The certificate of a spec."""
    text = text if "discretise" in text else f"{text}\ndiscretise euler(h = 0.1)\n"
    return json.loads(odenet.loads(text).certificate_json())


@pytest.fixture
def judge(tmp_path, capsys) -> Callable[[Any], tuple[int, str]]:
    """Gives the exit code and the last line for a certificate, or for a text."""

    def run(found: Any) -> tuple[int, str]:
        path = tmp_path / "certificate.json"
        path.write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
        code = verify.main(path)
        return code, capsys.readouterr().out.strip().splitlines()[-1]

    return run


# --- what is proved --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_proved_is_verified_and_what_is_not_is_not(name: str, judge):
    program = odenet.loads(TEXTS[name])
    code, line = judge(program.certificate_json())
    assert code == (0 if program.certificate.proved else 1), line
    assert line.startswith("proved: the spectrum is" if code == 0 else "not proved: ")


def test_the_proofs_about_drawn_systems_are_verified(judge):
    texts = [Drawn(Random(seed)).text() for seed in range(25)]
    found = [odenet.loads(text) for text in texts]
    proofs = [program for program in found if program.certificate.proved]
    assert len(proofs) > 10
    for program in proofs:
        code, line = judge(program.certificate_json())
        assert code == 0, f"{line}\n{program.text}"


def test_an_energy_without_a_spectrum_is_verified(tmp_path, capsys):
    path = tmp_path / "certificate.json"
    found = certificate("state Y\nparam K : dense\nY'' = -K^T sin(K Y)")
    path.write_text(json.dumps(found))
    assert verify.main(path) == 1
    assert "proved: the energy is conserved" in capsys.readouterr().out


# --- tampering --------------------------------------------------------------------------------


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The places of all texts in a JSON value."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))


def at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def other(text: str) -> Any:
    """Something else of the same kind."""
    if text.lstrip("-").replace("/", "").isdigit():
        return f"{int(text) + 1}" if "/" not in text else f"2{text}"
    names = {"A": "B", "B": "A", "K": ["T", "K"], "tanh": "relu", "relu": "tanh"}
    return names.get(text, ["*", "2", text])


CHECKED = [("equations",), ("units",), ("forcing",), ("blocks", 0, "factors"), ("blocks", 0, "M")]


@pytest.mark.parametrize("text", [STABLE, TWO, TEXTS["graph oscillators"]])
def test_no_formula_can_be_changed(text: str, judge):
    found = certificate(text)
    places = [(*p, *q) for p in CHECKED for q in leaves(at(found, p))]
    changes = 0
    for path in places:
        changed = copy.deepcopy(found)
        before = at(found, path)
        nothing = before == "I" and "0" in at(found, path[:-1])
        if before in ("*", "+", "T", "call", "^") or nothing:
            continue
        at(changed, path[:-1])[path[-1]] = other(before)
        code, line = judge(changed)
        assert code != 0, f"{path}: {before} became {other(before)}; {line}"
        changes += 1
    assert changes > 20


def tampered(text: str, path: tuple, value: Any) -> dict[str, Any]:
    found = certificate(text)
    at(found, path[:-1])[path[-1]] = value
    return found


GROUP = ("blocks", 0, "groups", 0)
FALSE = {
    "a condition is dropped": tampered(STABLE, ("conditions",), [{"kind": "constant weights"}]),
    "the gain of a norm has any sign": tampered(
        NORM, ("conditions",),
        [{"kind": "constant weights"}, {"kind": "frozen statistics", "of": "N"}],
    ),
    "weights may change": tampered(TWO, ("conditions",), []),
    "stable is called imaginary": tampered(STABLE, ("verdict",), "imaginary"),
    "stable is called real": tampered(STABLE, ("verdict",), "real"),
    "imaginary is called real": tampered(TWO, ("verdict",), "real"),
    "C is another": tampered(TWO, (*GROUP, "weights", 0), [["5", {}]]),
    "C is negative": tampered(STABLE, (*GROUP, "weights", 0), [["-1", {}]]),
    "a square has another factor": tampered(STABLE, (*GROUP, "squares", 0, 0), [["3", {"γ": "1"}]]),
    "a square is subtracted": tampered(STABLE, (*GROUP, "squares", 0, 0), [["-2", {"γ": "1"}]]),
    "squares are left out": tampered(STABLE, (*GROUP, "squares"), []),
    "a dissipative part is antisymmetric": tampered(STABLE, (*GROUP, "kind"), "antisymmetric"),
    "a dissipative part is symmetric": tampered(STABLE, (*GROUP, "kind"), "symmetric"),
    "a dissipative part is zero": tampered(STABLE, (*GROUP, "kind"), "zero"),
    "a part is of an unknown kind": tampered(STABLE, (*GROUP, "kind"), "because I say so"),
    "a unit is in no group": tampered(TWO, (*GROUP, "units"), [0]),
    "there is no block": tampered(TWO, ("blocks",), []),
    "gelu is nondecreasing": json.loads(json.dumps(certificate(STABLE)).replace("tanh", "gelu")),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_a_tampered_certificate_is_refused(name: str, judge):
    code, line = judge(FALSE[name])
    assert code in (1, 2) and "proved: the spectrum" not in line


def test_a_part_of_a_kind_that_is_not_known_is_not_checked(judge):
    line = judge(FALSE["a part is of an unknown kind"])[1]
    assert line == "not proved: parts of the kind 'because I say so' are not checked"


# --- false certificates, written by hand ------------------------------------------------------


def written(
    equation: Any, units: dict, M: Any, verdict: str = "imaginary", **changes: Any
) -> dict[str, Any]:
    """A certificate of one equation for Y that claims M antisymmetric."""
    group = {"kind": "antisymmetric", "units": [0], "weights": [[["1", {}]]], "squares": []}
    block = {"states": ["Y"], "decay": {}, "factors": list(units), "T": ["I"], "M": [[M]]}
    return {
        "format": "odenet certificate 1",
        "verdict": verdict,
        "conditions": [{"kind": "constant weights"}],
        "kinds": {"K": "dense", "d": "diag", "b": "bias"},
        "values": {},
        "equations": {"Y": equation},
        "units": units,
        "forcing": {},
        "blocks": [{**block, "groups": [group]}],
        "energy": None,
    } | changes


SKEW = ["+", "K", ["*", "-1", ["T", "K"]]]


def unit(map_: Any, row: Any = SKEW, column: Any = "I") -> dict[str, Any]:
    return {"φ1": {"map": map_, "row": {"Y": row}, "column": {"Y": column}}}


def test_a_true_certificate_written_by_hand_is_verified(judge):
    equation = ["call", "tanh", ["*", SKEW, "Y"]]
    assert judge(written(equation, unit(["call", "tanh", "·"]), SKEW))[0] == 0


def test_chains_with_the_same_numbers_in_other_places_are_not_one_unit(judge):
    inner = ["call", "sigmoid", ["*", "2", ["call", "tanh", ["*", "K", "Y"]]]]
    outer = ["*", "2", ["call", "sigmoid", ["call", "tanh", ["*", "K", "Y"]]]]
    terms = [["*", ["T", "K"], ["call", "tanh", inner]],
             ["*", "-1", ["T", "K"], ["call", "tanh", outer]]]  # fmt: skip
    chain = ["call", "tanh", ["call", "sigmoid", ["*", "2", ["call", "tanh", "·"]]]]
    zero = ["*", "0", "I"]
    found = written(["+", *terms], unit(chain, "K", zero), zero)
    assert judge(found)[0] == 1


x, minus = "·", ["*", "-9", "·"]
HAND = {
    "a state hides in an offset": written(
        ["+", ["*", "-9", SKEW, "Y"], ["call", "tanh", ["*", SKEW, "Y"]]],
        unit(["+", minus, ["call", "tanh", x]]), SKEW),
    "a map has a part that nobody looks at": written(
        ["*", SKEW, "Y"], unit(["+", "b", minus, x]), SKEW),
    "a slope is an operator": written(
        ["*", "K", "Y"], unit(x, "K"), "K",
        blocks=[{"states": ["Y"], "decay": {}, "factors": [
            {"slope": "K", "row": {"Y": "I"}, "column": {"Y": "I"}}], "T": ["I"],
            "M": [["I"]], "groups": [{"kind": "dissipative", "units": [0], "weights": [[["1", {}]]],
                                      "squares": []}]}]),
    "a state counts twice": written(
        ["call", "tanh", ["*", SKEW, "Y"]], unit(["call", "tanh", x]), SKEW) | {
        "blocks": [{"states": ["Y", "Y"], "decay": {}, "factors": ["φ1"], "T": ["I"],
                    "M": [[["*", "2", SKEW]]],
                    "groups": [{"kind": "antisymmetric", "units": [0], "weights": [[["1", {}]]],
                                "squares": []}]}]},
    "the identity is another": written(
        ["*", "K", "Y"], unit(x, "K"), "K", kinds={"K": "dense", "I": "dense"}),
    "a state has the name of an operator": written(
        ["*", "Y", "Y"], unit(x, "Y"), "Y", kinds={"Y": "dense"}),
    "a slope has the name of a diagonal": written(
        ["*", "φ1'", "Y"], unit(x, "φ1'"), "φ1'", kinds={"φ1'": "diag"}),
    "a condition about an operator": written(
        ["call", "tanh", ["*", "K", "Y"]], unit(["call", "tanh", x], "K"), "K", "stable",
        conditions=[{"kind": "constant weights"}, {"kind": "sign", "of": "K"}]),
    "a condition about a slope": written(
        ["call", "gelu", ["*", SKEW, "Y"]], unit(["call", "gelu", x]), SKEW,
        conditions=[{"kind": "constant weights"}, {"kind": "sign", "of": "φ1'"}]),
    "a root of a diagonal of any sign": written(
        ["*", "d", SKEW, "d", "Y"], unit(x, ["*", SKEW, ["^", "d", "1/2"]], "d"), SKEW),
    "an operator in a unit": written(
        ["call", "tanh", ["*", "K", ["call", "tanh", ["*", "K", "Y"]]]],
        unit(["call", "tanh", ["*", "K", ["call", "tanh", x]]], "K"), "K"),
    "a norm of several values": written(
        ["call", "N", ["*", SKEW, "Y"]], unit(["call", "N", x]), SKEW,
        kinds={"K": "dense", "N": "layer norm"}),
    "growth is called decay": written(
        ["+", "Y", ["call", "tanh", ["*", SKEW, "Y"]]], unit(["call", "tanh", x])
        | {"grow": {"map": x, "row": {"Y": "I"}, "column": {"Y": "I"}}}, SKEW, "stable",
        blocks=[{"states": ["Y"], "decay": {"Y": [["-1", {}]]}, "factors": ["φ1"], "T": ["I"],
                 "M": [[SKEW]], "groups": [{"kind": "antisymmetric", "units": [0],
                                            "weights": [[["1", {}]]], "squares": []}]}]),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_a_false_certificate_is_refused(name: str, judge):
    code, line = judge(HAND[name])
    assert code in (1, 2) and "proved: the spectrum" not in line


def test_the_energy_of_an_activation_is_not_that_of_the_identity(judge):
    found = certificate("state Y\nparam K : dense\nY'' = -K^T sin(K Y)")
    place = next(k for k, f in enumerate(found["energy"]["factors"]) if f == "φ1")
    rows = {key: found["units"]["φ1"][key] for key in ("row", "column")}
    found["energy"]["factors"][place] = {"slope": "I", **rows}
    assert judge(found) == (1, "not proved: the energy leaves out {'φ1'}")


def test_a_driven_state_must_not_act_back(judge):
    found = certificate(TEXTS["driven cascade"])
    found["blocks"].reverse()
    assert judge(found)[0] == 1


# --- hostile files -----------------------------------------------------------------------------

DEEP: Any = "Y"
for _ in range(400):
    DEEP = ["+", DEEP]
TOWER: Any = "2"
for _ in range(30):
    TOWER = ["^", TOWER, "99"]
TRUE = written(["*", SKEW, "Y"], unit("·"), SKEW)
HOSTILE = {
    "nothing": "",
    "no object": "[]",
    "an empty object": "{}",
    "a number": "7",
    "no JSON": "{'verdict': 1}",
    "half of a file": json.dumps(TRUE)[:-9],
    "no text": "\x00\x01",
    "brackets": "[" * 200_000,
    "a long number": TRUE | {"equations": {"Y": ["*", "9" * 9999, "Y"]}},
    "a power of a power": TRUE | {"equations": {"Y": ["*", TOWER, "Y"]}},
    "division by zero": TRUE | {"equations": {"Y": ["*", ["^", "0", "-1"], "Y"]}},
    "a cycle": TRUE | {"kinds": {"K": "dense", "a": "number"}, "values": {"a": ["+", "a", "1"]}},
    "many terms": written(
        ["*", "500", SKEW, "Y"], {str(k): unit("·")["φ1"] for k in range(500)}, SKEW
    ),
    "a formula that is none": TRUE | {"equations": {"Y": {"Y": "Y"}}},
    "an unknown formula": TRUE | {"equations": {"Y": ["eval", "Y"]}},
    "names that are numbers": TRUE | {"equations": {"Y": 1.0}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_certificate_is_said_in_a_sentence(name: str, judge):
    code, line = judge(HOSTILE[name])
    assert code == 2 and line.startswith("no certificate: ") and len(line) < 300


@pytest.mark.parametrize("tree", [DEEP, ["*", ["^", "2", f"1/{10**99}"], "Y"]])
def test_absurd_formulas_prove_nothing(tree: Any, judge):
    code, line = judge(TRUE | {"equations": {"Y": tree}})
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
    (tmp_path / "certificate.json").write_text(json.dumps(certificate(TWO)), "utf-8")
    command = [sys.executable, "-I", copied.name, "certificate.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "proved: the spectrum is imaginary" in done.stdout


def test_the_same_spec_gives_the_same_bytes():
    code = f"import odenet; print(odenet.loads({STABLE!r} + '\\ndiscretise euler(h = 1)')"
    code += ".certificate_json())"
    runs = [
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1] and json.loads(runs[0])["verdict"] == "stable"
