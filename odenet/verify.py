"""Checks a certificate of odenet: `python verify.py certificate.json`, and imports nothing of it.

It takes the theorems of docs/certificates.md for granted, and nothing that the certificate says.
Identities are tested exactly, at random integer matrices and with random functions as activations;
different sums of words of fewer than N letters differ there, but for a chance below 10^-9. The exit
code is 0 if the verdict is proved, 1 if it is not proved or not checked, 2 for other files.
"""

import json
import sys
from fractions import Fraction
from functools import reduce
from math import inf, isqrt
from typing import Any

import numpy as np

N, LARGE, BYTES, ZERO, RANDOM = 9, 10**15, 10**6, ["*", "0", "I"], np.random.default_rng()
TABLE = "relu 0 1,tanh 0 1,sigmoid 0 1/4,softplus 0 1,elu 0 1,hardtanh 0 1,shrink 0 1,sin -1 1,"
TABLE += "leaky_relu 0 1,gelu -13/100 113/100,silu -1/10 11/10"  # bounds of φ'
SLOPES = {name: [*map(Fraction, ends)] for name, *ends in map(str.split, TABLE.split(","))}
POSITIVE = [["call", "relu"], ["call", "sigmoid"], ["call", "softplus"]]
ODD, ALL = {"tanh", "hardtanh", "sin", "shrink"}, {"imaginary", "real", "stable"}
GIVES = dict(antisymmetric=ALL - {"real"}, symmetric=ALL - {"imaginary"}, dissipative={"stable"})
Unproved = type("not proved", (Exception,), {"__repr__": Exception.__str__})
Unchecked = type("not checked", (Unproved,), {})


def demand(holds, otherwise, error: type = Unproved):
    if not holds:
        raise error(otherwise)


def number(text) -> Any:
    return (Fraction if "/" in text else int)(text) if not text.strip("-/0123456789") else None


def power(x, p):
    if np.ndim(x):
        demand((x == np.diag(np.diag(x))).all(), "a power of an operator", ValueError)
        return np.diag([power(entry, p) for entry in np.diag(x)])
    root = Fraction({1: x, 2: isqrt(abs(int(x)))}[p.denominator])
    demand(abs(p) * len(str(x)) < 20_000 and root**p.denominator == x, "absurd power", ValueError)
    return root**p.numerator


FORMULAS = {"T": np.transpose, "^": power, "+": lambda *terms: np.stack(terms).sum(0)}
FORMULAS["*"] = lambda *x: reduce(lambda a, b: a @ b if np.ndim(a) > 1 and np.ndim(b) else a * b, x)


class Checker:
    def __init__(self, data, block, energy):  # no slope is a part of an energy's proof: D = I
        self.units, self.energy, self.functions = block.pop("units", data["units"]), energy, {}
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        self.kind, values = data["kinds"] | {"u": "bias", "I": "identity"}, data["values"]
        signs = {n for n, kind in self.kind.items() if ("sign", n) in self.conditions}
        signs = {n for n in signs if self.kind[n] in ("scalar", "diag", "gate")}
        gates = {n for n, kind in self.kind.items() if kind == "gate" and values[n][:2] in POSITIVE}
        self.known, self.bounds, self.point = signs | gates | {"I"}, {"I": (1, 1)}, {}
        names = [*self.kind, *data["equations"], *(f"{name}'" for name in self.units)]
        demand(len({*names, *SLOPES}) == len(names) + len(SLOPES), "a name is two things")
        for name in names:
            A, kind = RANDOM.integers(1, LARGE, (N, N)).astype(object) ** 2, self.kind.get(name)
            drawn = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            drawn |= dict.fromkeys(["diag", None], np.diag(A[0]))  # of squares: it has a root
            self.point[name] = drawn.get(kind, A)
            if kind in ("number", "formula", "gate"):
                x = self.value(values[name], self.point)
                self.point[name] = np.diag(x) if np.ndim(x) else x
        at = {name: self.point[name] for name in self.kind}
        s = {i: np.diag(self.point.pop(i)) for i in data["equations"]}
        rates = {i: self.value(data["forcing"].get(i, "0"), at) for i in s}
        for name, unit in self.units.items():  # F(s) = L φ(R s) + f at a random state
            m, sign = map(Fraction, unit.get("rest", "01"))
            low, high = sorted(sign * (bound - m) for bound in self.slope(unit["map"]))
            unit["slope"] = "I" if energy or low == high == 1 else f"{name}'"
            self.bounds.setdefault(unit["slope"], (low, high))
            x = sum(self.value(a, at) @ s[i] for i, a in unit["row"].items())
            y = reduce(lambda y, stage: self.value([*stage, y], at), unit["map"], x)
            for i, a in unit["column"].items():
                rates[i] = rates[i] + sign * self.value(a, at) @ (y - m * x)
        self.known |= {name for name, (low, _) in self.bounds.items() if low >= 0}
        for i, tree in data["equations"].items():
            demand(np.all(self.value(tree, at | s) == rates[i]), f"the units do not give {i}'")

    def value(self, tree, point) -> Any:  # a formula is a name, a number, or a list [kind, part, …]
        if not isinstance(tree, list):
            x = tree if isinstance(tree, np.ndarray) else number(tree)
            return point[tree] if x is None else x
        kind, first, *rest = tree
        if kind != "call":
            demand(kind != "^" or "/" not in rest[0] or first in self.known, f"a root of {first}")
            return FORMULAS[kind](*(self.value(part, point) for part in tree[1:]))
        *constants, x = (self.value(part, point) for part in rest)
        odd, own = first in ODD, first in self.kind  # what is learned has a function per value
        keys = [(first, *constants, abs(t) if odd else t, i * own) for i, t in enumerate(x)]
        drawn = RANDOM.integers(1, LARGE, len(x)).astype(object) ** 2
        f = [self.functions.setdefault(k, y) for k, y in zip(keys, drawn, strict=True)]
        return np.array(f, object) * [(t > 0) - (t < 0) if odd else 1 for t in x]

    def slope(self, stages) -> tuple:  # between what the derivative of a map lies
        low, high = 1, 1
        for kind, first, *rest in stages:
            if kind in ("*", "+"):
                own = [Fraction(number(first)) if kind == "*" else 1] * (not rest)
            elif kind == "call" and self.kind.get(first) == "batch norm":
                frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
                own = [0 if frozen else -inf, inf]
            else:
                demand(kind == "call" and first in SLOPES, f"{kind} {first!r:.40}", Unchecked)
                own = SLOPES[first] + [*map(number, rest)]
            low, *_, high = sorted(x * y if x and y else 0 for x in own for y in (low, high))
        return low, high

    def weight(self, terms, signed=False):  # a sum of numbers > 0 times numbers and diagonals >= 0
        for x, powers in terms:
            known = all(n in self.known or number(p) % 2 == 0 for n, p in powers.items())
            demand(signed or (known and number(x) > 0), f"{terms} is not known to be positive")
        words = [["*", x, *(["^", *power] for power in powers.items())] for x, powers in terms]
        return ["+", *words] if terms else "0"

    def grid(self, rows):
        return np.block([[self.value(tree, self.point) for tree in row] for row in rows])

    def diagonal(self, trees):
        places = range(len(trees))
        return self.grid([["*", trees[i], "I"] if i == j else ZERO for j in places] for i in places)

    def terms(self, terms, states):  # L, D and R of a sum of terms L D R
        demand(0 < len(terms) < 99, "it has too many terms, or none", ValueError)
        L = self.grid([[term["column"].get(s, ZERO) for term in terms] for s in states])
        R = self.grid([[term["row"].get(s, ZERO) for s in states] for term in terms])
        return L, self.diagonal([term["slope"] for term in terms]), R

    def block(self, done, states, decay, factors, T, M, kind, weights, squares, allowance=()):
        demand(kind in GIVES, f"a part of the kind {kind!r:.40}", Unchecked)
        seen = {s for u in self.units.values() if u["column"].keys() & {*states} for s in u["row"]}
        demand(sorted(seen - {*done} | {*states}) == sorted(states), "J is not triangular")
        J = reduce(np.matmul, self.terms([*self.units.values()], states))
        factors = [self.units[f] if isinstance(f, str) else f for f in factors]
        slopes, (L, D, R) = [f["slope"] for f in factors], self.terms(factors, states)
        γ = {s: self.weight(decay.get(s, [])) for s in states}
        Γ, Γφ = self.diagonal([*γ.values()]), self.diagonal([γ[min(f["row"])] for f in factors])
        demand((J + Γ == L @ D @ R).all(), f"J is not that of the factors of {states}")
        demand((Γφ @ R == R @ Γ).all(), "a unit reads states of different decay")
        (v, by), M = T or (0, "I"), self.grid(M)
        T = self.diagonal([by if i == v else "I" for i in range(len(factors))])
        RL, at = R @ L, slice(v * N, v * N + N)
        twin = not self.energy and (RL @ T == T @ M).all()
        demand(twin or (T @ RL == M @ T).all(), "M is not R L")
        plain = (M[at, at] == RL[at, at]).all() and (Γφ @ T == T @ Γφ).all() and slopes[v] == "I"
        plain = plain and (M[at, at] == M[at, at][0, 0] * self.point["I"]).all()
        demand(by == "I" or plain, "no theorem allows this T")
        demand({*slopes} <= self.known or not M.any(), "a slope may be < 0")
        gives = (GIVES[kind] if M.any() else ALL) - {"imaginary" if decay else ""}
        if allowance:  # A with A S <= A S + r = Γ
            A, r = (self.diagonal([self.weight(row[i]) for row in allowance]) for i in (0, 1))
            M, AS = M - A, A @ self.diagonal([s for _, _, s in allowance])
            limits = [number(s) if a else inf for a, _, s in allowance]
            below = all(self.bounds[n][1] <= s for n, s in zip(slopes, limits, strict=True))
            demand(below and (AS + r == Γφ).all(), "an allowance above a decay")
        C = self.diagonal([self.weight(c, self.energy) for c in weights])
        S = C @ M if kind == "symmetric" else C @ M + (C @ M).T
        for weight, row in squares:
            W = self.grid([row])
            S = S + W.T @ self.diagonal([self.weight(weight)]) @ W
        demand(not S.any() and not (squares and "anti" in kind), f"C M is not {kind}")
        return gives


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(BYTES))
        print(*map(" : ".join, data["kinds"].items()), sep=", ")
        print(*(f"{s}' = {f}" for s, f in data["equations"].items()), sep="\n")
        verdict, energy, gives, done = data["verdict"], data["energy"], ALL, []
        conditions, whole = [[*c.values()] for c in data["conditions"]], {*data["equations"]}
        if energy:
            checker = Checker(data, energy, True)
            kept, factors = "imaginary" in checker.block([], **energy), energy["factors"]
            left = {n for n, u in checker.units.items() if u["map"] and factors.count(n) != 1}
            left |= (whole - {*energy["states"]}) | data["forcing"].keys() | energy["decay"].keys()
            demand(not left, f"the energy leaves out {left}")
            print("proved: the energy", "is conserved" if kept else "never grows")
        for block in data["blocks"]:
            gives = gives & Checker(data, block, False).block(done, **block)
            done += block["states"]
        done = {*done} == whole and ["constant weights"] in conditions
        demand(done and verdict in gives, f"the verdict {verdict} has no proof here")
        print(f"proved: the spectrum is {verdict}, given {', '.join(map(' of '.join, conditions))}")
        return 0
    except Exception as error:
        known = isinstance(error, Unproved)
        print(f"{type(error).__name__ if known else 'no certificate'}: {error!r:.200}")
        return 1 if known else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
