"""Reads a printed certificate: E and dE/dt at a point, from nothing but the text.

Names, operators and fields are read by the parser of tests/analyse/oracle.py.
"""

import re
from dataclasses import dataclass

import numpy as np

from tests.analyse.oracle import Operator, Oracle

LINE = re.compile(
    r"E = (?P<energy>.*),  dE/dt = (?P<rate>.*?)(?P<falls> ≤ 0)?"
    r"( for (?P<condition>.*?))?(, with (?P<notes>.*))?"
)
LISTED = re.compile(r"^ *φ(\d+) = (.*), carried to ", re.M)
SQUARE = re.compile(r"(?P<factor>.*?)\|(?P<inside>.*)\|²")
WEIGHTED = re.compile(r"(?P<factor>.*?)1ᵀ(?P<diagonal>.*)\((?P<inside>.*)\)²")
PRIMITIVE = re.compile(r"(?P<factor>.*?)1ᵀ(?P<diagonal>.*?)(?P<name>Ψ[₀-₉]*)\((?P<inside>.*)\)")
APPLIED = re.compile(r"(\w+(?:\([-\d./]+\))?)\((.*)\)")


@dataclass
class Printed:
    """What a certificate says of its energy.

    Args:
        text: the whole certificate, as printed.
    """

    text: str

    def __post_init__(self):
        line = re.search(r"energy: (.*)", self.text)
        found = line and LINE.fullmatch(line[1])
        assert found, self.text
        self.energy, self.rate = found["energy"], found["rate"]
        self.falls, self.condition = bool(found["falls"]), found["condition"] or ""
        notes = dict(map(_note, re.split(r", (?=[φΨ])", found["notes"] or "")))
        named = {key: value for key, value in notes.items() if key.startswith("φ")}
        self.units = named or {f"φ{n}": text for n, text in LISTED.findall(self.text)}
        self.primitives = {key: value for key, value in notes.items() if key.startswith("Ψ")}

    def change(self, point: Oracle) -> tuple[float, float]:
        """The derivative of E along the flow, and the size of what was added up."""
        total = size = 0.0
        for sign, term in _terms(self.energy):
            found = WEIGHTED.fullmatch(term) or SQUARE.fullmatch(term)
            if found:
                force, moved = point.change(_plain(found["inside"]))
                force = 2 * force
            else:
                found = PRIMITIVE.fullmatch(term)
                assert found, term
                moved = point.change(_plain(found["inside"]))[1]
                force = point.change(self._derivative(found["name"], found["inside"]))[0]
            diagonal = found.groupdict().get("diagonal", "")
            force = force * sign * _number(found["factor"], point) * _diagonal(diagonal, point)
            total += float(force @ moved)
            size += float(abs(force) @ (abs(moved) + 1e-2 * (1 + abs(moved).max())))
        return total, size

    def stated(self, point: Oracle) -> float:
        """dE/dt as it is said to be."""
        total = 0.0
        for sign, term in _terms(self.rate) if self.rate != "0" else ():
            found = SQUARE.fullmatch(term)
            assert found, term
            for name in set(re.findall(r"φ\d+", found["inside"])):
                point.names[name] = point.change(_plain(self.units[name]))[0][:, None]
            inside = point.change(_rooted(_plain(found["inside"]), point))[0]
            total += sign * _number(found["factor"], point) * float(inside @ inside)
        return total

    def _derivative(self, name: str, argument: str) -> str:
        """Ψ' of an argument; the one activation of all units where nothing else is said."""
        if name in self.primitives:
            return _plain(re.sub(r"\bt\b", lambda _: f"({argument})", self.primitives[name]))
        found = {match[1] for text in self.units.values() if (match := APPLIED.fullmatch(text))}
        assert name == "Ψ" and len(found) == 1, self.text
        return _plain(f"{found.pop()}({argument})")


def _note(text: str) -> tuple[str, str]:
    """`φ1 = K Y`, `Ψ' = relu`, `Ψ₁'(t) = relu(N(t))`."""
    name, _, value = text.partition(" = ")
    if name.endswith("'"):
        return name[:-1], f"{value}(t)"
    return name.removesuffix("'(t)"), value


def _terms(text: str) -> list[tuple[int, str]]:
    """A sum as terms with their signs; what stands between bars or brackets is one."""
    found, depth, inside, sign, start = [], 0, False, 1, 0
    if text.startswith("-"):
        sign, start = -1, 1
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        inside ^= char == "|"
        if depth == 0 and not inside and text[i : i + 3] in (" + ", " - "):
            found.append((sign, text[start:i]))
            sign, start = (1 if text[i + 1] == "+" else -1), i + 3
    return [*found, (sign, text[start:])]


def _plain(text: str) -> str:
    return text.replace("ᵀ", "^T").replace("²", "^2")


def _number(text: str, point: Oracle) -> float:
    return point.number(_plain(text.replace("½", "(1/2)"))) if text.strip() else 1.0


def _rooted(text: str, point: Oracle) -> str:
    """√d as a name of its own."""
    for name in re.findall(r"√(\w+)", text):
        diagonal = point.names[name]
        assert isinstance(diagonal, Operator)
        point.names[f"root_{name}"] = Operator(np.sqrt(diagonal.matrix))
    return text.replace("√", "root_")


def _diagonal(text: str, point: Oracle) -> np.ndarray | float:
    """`d⁻¹ w`."""
    total: np.ndarray | float = 1.0
    for name, power in re.findall(r"([^\W\d]\w*)(⁻¹|²)?", text):
        diagonal = point.names[name]
        assert isinstance(diagonal, Operator)
        total = total * np.diag(diagonal.matrix) ** {"⁻¹": -1.0, "²": 2.0, "": 1.0}[power]
    return total
