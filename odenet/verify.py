"""Checks a certificate of odenet: `python verify.py certificate.json`.

Imports nothing of odenet and can be copied alone. It takes the theorems of docs/certificates.md for
granted, and nothing that the certificate says. Every identity is tested exactly, at random integer
matrices: the equations against s' = L φ(R s) + f, with random functions as activations; J + Γ =
L D R; M = R L; C M and its squares. Different sums of words of fewer than N letters differ there,
but for a chance below 10^-9. Exit codes: 0 proved, 1 not proved, 2 this is no certificate.
"""

import json
import sys
from collections import defaultdict
from fractions import Fraction
from functools import reduce
from math import isqrt
from typing import Any

import numpy as np

N, LARGE, BYTES, ZERO, RANDOM = 9, 10**15, 10**6, ["*", "0", "I"], np.random.default_rng()
RISING = {"relu", "tanh", "sigmoid", "softplus", "elu", "hardtanh", "identity"}
RISING_FROM_ZERO, ODD = {"leaky_relu", "shrink"}, {"tanh", "hardtanh", "sin", "shrink"}
DIAGONAL, SIGNED = {"diag", "gate", "slope"}, {"scalar", "diag", "gate"}
ALL = {"imaginary", "real", "stable"}
GIVES = dict(antisymmetric=ALL - {"real"}, symmetric=ALL - {"imaginary"}, dissipative={"stable"})
Unproved = type("Unproved", (Exception,), {"__repr__": Exception.__str__})


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
    def __init__(self, data):
        self.units, self.point, slopes = data["units"], {}, {}
        self.functions = defaultdict(lambda: int(RANDOM.integers(LARGE)) ** 2)
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        for name, unit in self.units.items():
            unit["slope"] = f"{name}'" if unit["map"] != "·" else "I"
            slopes[unit["slope"]] = "slope"
        self.kind = data["kinds"] | slopes | {"u": "bias", "I": "identity"}
        signs = {name for kind, name in self.conditions if kind == "sign"}
        self.known = {name for name in signs if self.kind[name] in SIGNED} | {"I"}
        demand(not self.kind.keys() & data["equations"].keys(), "a name is two things", ValueError)
        for name, kind in self.kind.items():
            A = RANDOM.integers(1, LARGE, (N, N)).astype(object) ** 2  # diagonals have roots
            drawn = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            self.point[name] = np.diag(A[0]) if kind in DIAGONAL else drawn.get(kind, A)
        for name in (n for n, kind in self.kind.items() if kind in ("number", "formula", "gate")):
            x = self.value(data["values"][name], self.point)
            self.point[name] = np.diag(x) if np.ndim(x) else x
        self.free = {n: x for n, x in self.point.items() if self.kind[n] != "slope" and n != "·"}
        self.known |= {u["slope"] for u in self.units.values() if self.rise(u["map"]) == 1}

    def value(self, tree, point) -> Any:  # a formula is a name, a number, or a list [kind, part, …]
        if isinstance(tree, str):
            return point[tree] if number(tree) is None else number(tree)
        kind, first, *rest = tree
        if kind != "call":
            demand(kind != "^" or "/" not in rest[0] or first in self.known, f"a root of {first}")
            return FORMULAS[kind](*(self.value(part, point) for part in tree[1:]))
        (*constants, x), of = (self.value(part, point) for part in rest), self.kind.get(first)
        if first == "identity" and not of:
            return x
        odd, whole = not of and first in ODD, x if of not in (None, "batch norm") else ()
        keys = [(abs(t) if odd else t, i if of else 0, *whole) for i, t in enumerate(x)]
        found = [self.functions[first, *constants, *key] for key in keys]
        return np.array(found, object) * [(t > 0) - (t < 0) if odd else 1 for t in x]

    def rise(self, tree):  # 1 for a map that is nondecreasing, -1 for its negative, or 0
        if tree == "·":
            return 1
        kind, first, *constants, inner = tree
        if kind in ("+", "*") and not constants:
            self.value(first, self.free)  # it has no value if there is a · in it
            return self.rise(inner) * (kind == "+" or number(first) > 0 or -1)
        of = self.kind.get(first)
        demand(kind == "call" and of in (None, "batch norm"), f"{first} acts on values together")
        frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
        rising = first in RISING or (first in RISING_FROM_ZERO and number(constants[0]) >= 0)
        return self.rise(inner) * (frozen if of else rising)

    def weight(self, terms):  # a sum of positive numbers times numbers and diagonals >= 0
        for x, powers in terms:
            known = all(n in self.known or number(p) % 2 == 0 for n, p in powers.items())
            demand(known and number(x) > 0, f"{terms} is not known to be positive")
        return ["+", *(["*", x, *(["^", n, p] for n, p in powers.items())] for x, powers in terms)]

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

    def check_equations(self, equations, forcing):  # F(s) = L φ(R s) + f at a random state
        at = self.free | {s: RANDOM.integers(-LARGE, LARGE, N).astype(object) for s in equations}
        rates = {s: self.value(forcing.get(s, "0"), self.free) for s in equations}
        for unit in self.units.values():
            x = sum(self.value(a, self.free) @ at[s] for s, a in unit["row"].items())
            φ = self.value(unit["map"], self.free | {"·": x})
            for s, a in unit["column"].items():
                rates[s] = rates[s] + self.value(a, self.free) @ φ
        for s, tree in equations.items():
            demand(np.all(self.value(tree, at) == rates[s]), f"the units do not give {s}'")

    def block(self, done, states, decay, factors, T, M, groups):  # about a diagonal block of J
        own = [unit for unit in self.units.values() if unit["column"].keys() & {*states}]
        reads = {state for unit in own for state in unit["row"]} | {*states}
        demand(reads <= {*done, *states} and len({*states}) == len(states), "J is not triangular")
        J = reduce(np.matmul, self.terms([*self.units.values()], states))
        factors = [self.units[f] if isinstance(f, str) else f for f in factors]
        L, D, R = self.terms(factors, states)
        γ = [self.weight(decay[s]) if s in decay else "0" for s in states]
        Γ, Γφ = self.diagonal(γ), self.diagonal([γ[states.index(min(f["row"]))] for f in factors])
        demand((J + Γ == L @ D @ R).all(), f"J is not that of the factors of {states}")
        demand((Γφ @ R == R @ Γ).all(), "a unit reads states of different decay")
        changed, M, T = [v for v, by in enumerate(T) if by != "I"], self.grid(M), self.diagonal(T)
        demand((T @ R @ L == M @ T).all() and (T @ Γφ == Γφ @ T).all(), "M is not R L")
        M, each = M.reshape(len(factors), N, len(factors), N), range(N)
        for v in changed:
            plain = (M[v, :, v] == M[v, 0, v, 0] * self.point["I"]).all() and len(changed) == 1
            demand(plain and factors[v]["slope"] == "I", "no theorem allows this T")
        gives, rest = ALL - {"imaginary" if decay else ""}, {*range(len(factors))}
        for group in groups:
            kind, places, C, squares = map(group.get, ("kind", "units", "weights", "squares"))
            rest -= {*places}
            demand(not M[np.ix_(places, each, [*rest], each)].any(), "M is not block triangular")
            demand(kind in GIVES, f"parts of the kind {kind!r:.40} are not checked")
            own = M[np.ix_(places, each, places, each)].reshape(len(places) * N, -1)
            if own.any():
                demand({factors[i]["slope"] for i in places} <= self.known, "a slope may be < 0")
                S = self.diagonal([*map(self.weight, C)]) @ own
                S = S if kind == "symmetric" else S + S.T
                demand((S == S.T).all(), "C M is not symmetric")
                for weight, row in squares:
                    W = self.grid([row])
                    S = S + W.T @ self.diagonal([self.weight(weight)]) @ W
                demand(not S.any() and (not squares or "anti" not in kind), f"C M is not {kind}")
                gives = gives & GIVES[kind]
        demand(not rest, "a unit has no proof")
        return gives


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(BYTES))
        for s, tree in data["equations"].items():
            print(f"{s}' = {json.dumps(tree, ensure_ascii=False)}")
        verdict, energy, done, gives = data["verdict"], data["energy"], [], ALL
        demand(verdict in ALL or energy, f"the certificate says {verdict}, it claims nothing")
        checker = Checker(data)
        checker.check_equations(data["equations"], data["forcing"])
        for block in data["blocks"]:
            gives, done = gives & checker.block(done, **block), done + block["states"]
        whole, units = {*data["equations"]}, checker.units.items()
        if energy:  # no slope is part of its proof: D = I, and the names of slopes mean nothing
            left = (whole - {*energy["states"]}) | data["forcing"].keys() | energy["decay"].keys()
            left |= {k for k, unit in units if unit["map"] != "·" and k not in energy["factors"]}
            demand(not left, f"the energy leaves out {left}")
            checker.point, checker.units = checker.free, {k: {**u, "slope": "I"} for k, u in units}
            kept = "imaginary" in checker.block([], **energy)
            print("proved: the energy", "is conserved" if kept else "never grows")
        conditions = sorted(" of ".join(filter(None, pair)) for pair in checker.conditions)
        demand({*done} == whole and verdict in gives and "constant weights" in conditions, verdict)
        print(f"proved: the spectrum is {verdict}, given {', '.join(conditions)}")
        return 0
    except Exception as error:
        code = 1 if isinstance(error, Unproved) else 2
        print("no certificate:" if code == 2 else "not proved:", f"{error!r:.200}")
        return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
