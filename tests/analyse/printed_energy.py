"""Evaluates the E and dE/dt of a certificate at a point, read from its printed text alone.

The parser of tests/analyse/oracle.py evaluates the formulas in it.
"""

import re
from dataclasses import dataclass

import numpy as np

from tests.analyse.oracle import Operator, Oracle

ENERGY_LINE = re.compile(
    r"E = (?P<energy>.*),  dE/dt = (?P<derivative>.*?)(?P<nonincreasing> ≤ 0)?"
    r"( for (?P<condition>.*?))?(, with (?P<notes>.*))?"
)
UNIT_LINE = re.compile(r"^ *φ(\d+) = (.*), carried to ", re.M)
# the terms of E: `½ |Y'|²`, `½ 1ᵀd1⁻² (d1² K2 Z)²`, `3 1ᵀΨ₂(K Y)`
SQUARE = re.compile(r"(?P<factor>.*?)\|(?P<inside>.*)\|²")
WEIGHTED = re.compile(r"(?P<factor>.*?)1ᵀ(?P<diagonal>.*)\((?P<inside>.*)\)²")
PRIMITIVE = re.compile(r"(?P<factor>.*?)1ᵀ(?P<diagonal>.*?)(?P<name>Ψ[₀-₉]*)\((?P<inside>.*)\)")
ACTIVATION_CALL = re.compile(r"(\w+(?:\([-\d./]+\))?)\((.*)\)")


@dataclass
class PrintedEnergy:
    """The energy of a certificate as it is printed.

    Args:
        text: the whole certificate, as printed.

    Attributes:
        energy_text: E as a formula.
        derivative_text: dE/dt as a formula, without "≤ 0".
        nonincreasing: whether "≤ 0" is printed behind dE/dt.
        condition: the condition for which E is an energy, such as d > 0; empty if there is none.
        units: by name, such as φ1, the formula of a unit.
        primitives: by name, such as Ψ₁, the derivative Ψ₁'(t) as a formula.
    """

    text: str

    def __post_init__(self):
        line = re.search(r"energy: (.*)", self.text)
        match = line and ENERGY_LINE.fullmatch(line[1])
        assert match, self.text
        self.energy_text, self.derivative_text = match["energy"], match["derivative"]
        self.nonincreasing, self.condition = bool(match["nonincreasing"]), match["condition"] or ""
        notes = dict(map(_parse_note, re.split(r", (?=[φΨ])", match["notes"] or "")))
        defined_units = {key: value for key, value in notes.items() if key.startswith("φ")}
        self.units = defined_units or {f"φ{n}": text for n, text in UNIT_LINE.findall(self.text)}
        self.primitives = {key: value for key, value in notes.items() if key.startswith("Ψ")}

    def derivative(self, point: Oracle) -> tuple[float, float]:
        """The derivative of E along the flow, and a scale for its rounding error, at least Σ |terms|."""
        total = size = 0.0
        for sign, term in _terms(self.energy_text):
            match = WEIGHTED.fullmatch(term) or SQUARE.fullmatch(term)
            if match:
                inside, rate = point.value_and_rate(_ascii(match["inside"]))
                gradient = 2 * inside
            else:
                match = PRIMITIVE.fullmatch(term)
                assert match, term
                rate = point.value_and_rate(_ascii(match["inside"]))[1]
                psi_derivative = self._derivative(match["name"], match["inside"])
                gradient = point.value_and_rate(psi_derivative)[0]
            diagonal = match.groupdict().get("diagonal", "")
            factor = sign * _factor_value(match["factor"], point)
            gradient = gradient * factor * _diagonal_product(diagonal, point)
            total += float(gradient @ rate)
            # a rate that is a difference of large numbers has their rounding error
            size += float(abs(gradient) @ (abs(rate) + 1e-2 * (1 + abs(rate).max())))
        return total, size

    def stated_derivative(self, point: Oracle) -> float:
        """The value of the printed dE/dt."""
        total = 0.0
        for sign, term in _terms(self.derivative_text) if self.derivative_text != "0" else ():
            match = SQUARE.fullmatch(term)
            assert match, term
            for name in set(re.findall(r"φ\d+", match["inside"])):
                point.values[name] = point.value_and_rate(_ascii(self.units[name]))[0][:, None]
            inside = point.value_and_rate(_define_roots(_ascii(match["inside"]), point))[0]
            total += sign * _factor_value(match["factor"], point) * float(inside @ inside)
        return total

    def _derivative(self, name: str, argument: str) -> str:
        """Ψ' of an argument as a formula; a Ψ without a note is that of the only activation."""
        if name in self.primitives:
            return _ascii(re.sub(r"\bt\b", lambda _: f"({argument})", self.primitives[name]))
        activations = {
            match[1] for text in self.units.values() if (match := ACTIVATION_CALL.fullmatch(text))
        }
        assert name == "Ψ" and len(activations) == 1, self.text
        return _ascii(f"{activations.pop()}({argument})")


def _parse_note(text: str) -> tuple[str, str]:
    """Name and formula in `φ1 = K Y`, `Ψ' = relu` or `Ψ₁'(t) = relu(N(t))`."""
    name, _, value = text.partition(" = ")
    if name.endswith("'"):
        return name[:-1], f"{value}(t)"
    return name.removesuffix("'(t)"), value


def _terms(text: str) -> list[tuple[int, str]]:
    """A sum as (sign, term) pairs; signs between bars or parentheses belong to a term."""
    terms, depth, between_bars, sign, start = [], 0, False, 1, 0
    if text.startswith("-"):
        sign, start = -1, 1
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        between_bars ^= char == "|"
        if depth == 0 and not between_bars and text[i : i + 3] in (" + ", " - "):
            terms.append((sign, text[start:i]))
            sign, start = (1 if text[i + 1] == "+" else -1), i + 3
    return [*terms, (sign, text[start:])]


def _ascii(text: str) -> str:
    return text.replace("ᵀ", "^T").replace("²", "^2")


def _factor_value(text: str, point: Oracle) -> float:
    return point.number(_ascii(text.replace("½", "(1/2)"))) if text.strip() else 1.0


def _define_roots(text: str, point: Oracle) -> str:
    """The text with √d replaced by root_d, which is added to the names of the point."""
    for name in re.findall(r"√(\w+)", text):
        diagonal = point.values[name]
        assert isinstance(diagonal, Operator)
        point.values[f"root_{name}"] = Operator(np.sqrt(diagonal.matrix))
    return text.replace("√", "root_")


def _diagonal_product(text: str, point: Oracle) -> np.ndarray | float:
    """The diagonal of a product such as `d⁻¹ w`."""
    total: np.ndarray | float = 1.0
    for name, power in re.findall(r"([^\W\d]\w*)(⁻¹|²)?", text):
        diagonal = point.values[name]
        assert isinstance(diagonal, Operator)
        total = total * np.diag(diagonal.matrix) ** {"⁻¹": -1.0, "²": 2.0, "": 1.0}[power]
    return total
