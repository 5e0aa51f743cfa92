"""The checker of certificates (odenet/verify.py) accepts proofs, and no tampered certificate."""

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

import odenet
from odenet import verify
from tests.analyse.certificates import (
    BATCH_NORM,
    BOUNDED_SLOPE,
    GATED,
    LEFT_TRANSFORMED,
    NUMBERS_ONLY,
    REFLECTED_SLOPE,
    SHIFTED_SLOPE,
    STABLE,
    TWO_STATES,
    certificate,
    string_paths,
    tampered,
    value_at,
)
from tests.analyse.literature import ROWS
from tests.analyse.specs import RandomSpec

ROOT = Path(__file__).parents[2]
SPECS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "specs").glob("*.ode"))}
TEXTS = SPECS | {row.name: f"{row.text}\ndiscretise euler(h = 0.1)\n" for row in ROWS}
TEXTS |= {"gate": GATED, "bounded slope": BOUNDED_SLOPE, "reflected slope": REFLECTED_SLOPE}


# --- what is proved --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_a_certificate_is_verified_exactly_if_it_is_proved(name: str, tmp_path, capsys):
    program, path = odenet.loads(TEXTS[name]), tmp_path / "certificate.json"
    path.write_text(program.certificate_json(), encoding="utf-8")
    proved = program.certificate.proved
    assert verify.main(path) == (0 if proved else 1)
    text = capsys.readouterr().out
    assert ("proved: the spectrum is" in text.replace("not proved", "")) == proved, text
    assert ("\nproved: the energy" in text) == (program.certificate.energy is not None), text


@pytest.mark.slow
def test_the_proofs_about_random_systems_are_verified(judge):
    texts = [RandomSpec(Random(seed)).text() for seed in range(25)]
    programs = [odenet.loads(text) for text in texts]
    proofs = [program for program in programs if program.certificate.proved]
    assert len(proofs) > 10
    for program in proofs:
        code, line = judge(program.certificate_json())
        assert code == 0 or line.startswith("not checked: "), f"{line}\n{program.text}"


def test_a_product_as_one_unit_is_not_checked(judge):
    product = certificate("state Y\nparam K : dense\nY' = -K^T (relu(K Y) * relu(K Y))")
    code, line = judge(product)
    assert (code, product["verdict"]) == (1, "real") and line.startswith("not checked: product")


def test_an_energy_with_weights_of_any_sign_is_verified(tmp_path, capsys):
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(certificate("state Y\nparam W : dense\nY' = -Y + W^T tanh(W Y)")))
    assert verify.main(path) == 1
    assert "proved: the energy never grows" in capsys.readouterr().out


def test_an_energy_without_a_proved_spectrum_is_verified(tmp_path, capsys):
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(certificate("state Y\nparam K : dense\nY'' = -K^T sin(K Y)")))
    assert verify.main(path) == 1
    assert "proved: the energy is conserved" in capsys.readouterr().out


# --- tampering --------------------------------------------------------------------------------


def changed_leaf(leaf: str) -> Any:
    """Another number, operator or function in place of a leaf of a formula."""
    if leaf.lstrip("-").replace("/", "").isdigit():
        return f"{int(leaf) + 1}" if "/" not in leaf else f"2{leaf}"
    replacements = {"A": "B", "B": "A", "K": ["T", "K"], "tanh": "relu", "relu": "tanh"}
    return replacements.get(leaf, ["*", "2", leaf])


# paths to the formulas of a certificate; its keys are listed in docs/certificates.md
CHECKED = [("equations",), ("units",), ("forcing",), ("blocks", 0, "factors"), ("blocks", 0, "M")]


@pytest.mark.parametrize("text", [STABLE, TWO_STATES, TEXTS["graph oscillators"], LEFT_TRANSFORMED])
def test_no_formula_can_be_changed(text: str, judge):
    original = certificate(text)
    paths = [(*p, *q) for p in CHECKED for q in string_paths(value_at(original, p))]
    count = 0
    for path in paths:
        changed = copy.deepcopy(original)
        leaf = value_at(original, path)
        is_zero_anyway = leaf == "I" and "0" in value_at(original, path[:-1])
        if leaf in ("*", "+", "T", "call", "^") or is_zero_anyway:  # heads of lists, no leaves
            continue
        value_at(changed, path[:-1])[path[-1]] = changed_leaf(leaf)
        code, line = judge(changed)
        assert code != 0, f"{path}: {leaf} became {changed_leaf(leaf)}; {line}"
        count += 1
    assert count > 20


BLOCK = ("blocks", 0)
ALLOWANCE = (*BLOCK, "allowance", 0)  # [a, r, s]: a decay of a s + r, slopes of at most s
TAMPERED = {
    "a condition is dropped": tampered(STABLE, ("conditions",), [{"kind": "constant weights"}]),
    "the gain of a norm has any sign": tampered(
        BATCH_NORM, ("conditions",),
        [{"kind": "constant weights"}, {"kind": "frozen statistics", "of": "N"}],
    ),
    "weights may change": tampered(TWO_STATES, ("conditions",), []),
    "stable is called imaginary": tampered(STABLE, ("verdict",), "imaginary"),
    "stable is called real": tampered(STABLE, ("verdict",), "real"),
    "imaginary is called real": tampered(TWO_STATES, ("verdict",), "real"),
    "real with a decay is called imaginary": tampered(BOUNDED_SLOPE, ("verdict",), "imaginary"),
    "C has another entry": tampered(TWO_STATES, (*BLOCK, "weights", 0), [["5", {}]]),
    "C is negative": tampered(STABLE, (*BLOCK, "weights", 0), [["-1", {}]]),
    "a square has another factor": tampered(STABLE, (*BLOCK, "squares", 0, 0), [["3", {"γ": "1"}]]),
    "a square is subtracted": tampered(STABLE, (*BLOCK, "squares", 0, 0), [["-2", {"γ": "1"}]]),
    "squares are left out": tampered(STABLE, (*BLOCK, "squares"), []),
    "a dissipative part is antisymmetric": tampered(STABLE, (*BLOCK, "kind"), "antisymmetric"),
    "a dissipative part is symmetric": tampered(STABLE, (*BLOCK, "kind"), "symmetric"),
    "a dissipative part is zero": tampered(STABLE, (*BLOCK, "kind"), "zero"),
    "a part is of an unknown kind": tampered(STABLE, (*BLOCK, "kind"), "because I say so"),
    "there is no block": tampered(TWO_STATES, ("blocks",), []),
    "gelu is nondecreasing": json.loads(json.dumps(certificate(STABLE)).replace("tanh", "gelu")),
    "a gate is any function": json.loads(json.dumps(certificate(GATED)).replace("sigmoid", "sin")),
    "an allowance is left out": tampered(BOUNDED_SLOPE, (*BLOCK, "allowance"), []),
    "an allowance is larger": tampered(BOUNDED_SLOPE, (*ALLOWANCE, 0), [["2", {}]]),
    "an allowance is negative": tampered(BOUNDED_SLOPE, (*ALLOWANCE, 0), [["-1", {}]]),
    "a slope's bound is smaller": tampered(BOUNDED_SLOPE, ALLOWANCE, [[["2", {}]], [], "1"]),
    "more of a decay is left over": tampered(BOUNDED_SLOPE, (*ALLOWANCE, 1), [["1", {}]]),
    "a decay is larger": tampered(BOUNDED_SLOPE, (*BLOCK, "decay", "Y"), [["3", {}]]),
    "less of a slope is moved": tampered(
        SHIFTED_SLOPE, (*BLOCK, "units", "ψ1", "rest"), ["-1/10", "1"]),
    "nothing of a slope is moved": tampered(SHIFTED_SLOPE, (*BLOCK, "units", "ψ1", "rest"), ["0", "1"]),
    "the sign of what is left of a slope is flipped": tampered(
        REFLECTED_SLOPE, (*BLOCK, "units", "ψ1", "rest"), ["1", "1"]),
    "less than the largest slope is moved": tampered(
        REFLECTED_SLOPE, (*BLOCK, "units", "ψ1", "rest"), ["1/2", "-1"]),
    "T is another word": tampered(LEFT_TRANSFORMED, (*BLOCK, "T", 1), "A"),
    "T changes another unit": tampered(LEFT_TRANSFORMED, (*BLOCK, "T", 0), 1),
    "T changes nothing": tampered(LEFT_TRANSFORMED, (*BLOCK, "T"), []),
    # units that are linear combinations of others
    "combined units have another C": tampered(NUMBERS_ONLY, (*BLOCK, "weights", 0), [["7", {}]]),
    "combined units are others": tampered(NUMBERS_ONLY, (*BLOCK, "factors", 0, "row", "X"), ["*", "2", "I"]),
    "combined units have other squares": tampered(NUMBERS_ONLY, (*BLOCK, "squares", 0, 0), [["9", {}]]),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_certificate_is_refused(name: str, judge):
    code, line = judge(TAMPERED[name])
    assert code in (1, 2) and "proved: the spectrum" not in line


def test_a_block_of_an_unknown_kind_is_reported_as_not_checked(judge):
    line = judge(TAMPERED["a part is of an unknown kind"])[1]
    assert line == "not checked: a part of the kind 'because I say so'"
