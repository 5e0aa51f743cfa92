"""Checks a certificate of odenet: `python verify.py certificate.json`.

Imports nothing of odenet and can be copied alone. It takes the theorems of docs/certificates.md for
granted, and nothing that the certificate says. All identities are tested exactly, at random integer
matrices: the equations against s' = L φ(R s) + f, with random functions as activations; J + Γ =
L D R; M = R L; C (M - A) and its squares. Different sums of words of fewer than N letters differ
there, but for a chance below 10^-9. Exit codes: 0 proved, 1 not proved, 2 this is no certificate.
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
TABLE += "identity 1 1,leaky_relu 1 1,gelu -13/100 113/100,silu -1/10 11/10"  # bounds of φ'
SLOPES = {name: [*map(Fraction, ends)] for name, *ends in map(str.split, TABLE.split(","))}
POSITIVE, ODD = ("relu", "sigmoid", "softplus"), {"tanh", "hardtanh", "sin", "shrink"}
DIAGONAL, SIGNED = {"diag", "gate", "slope"}, {"scalar", "diag", "gate"}
ALL = {"imaginary", "real", "stable"}
GIVES = dict(antisymmetric=ALL - {"real"}, symmetric=ALL - {"imaginary"}, dissipative={"stable"})
Unproved = type("not proved", (Exception,), {"__repr__": Exception.__str__})
Unchecked = type("not checked", (Unproved,), {})


def demand(holds, otherwise, error: type = Unproved):
    if not holds:
        raise error(otherwise)


def draw():
    return int(RANDOM.integers(LARGE)) ** 2


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
        signs = {n for kind, n in self.conditions if kind == "sign" and self.kind[n] in SIGNED}
        calls = [["call", name] for name in POSITIVE if name not in self.kind]
        gates = {n for n, kind in self.kind.items() if kind == "gate" and values[n][:2] in calls}
        self.bounds = {"I": (1, 1)}
        for name, unit in self.units.items():
            m, sign = map(Fraction, unit.get("rest", "01"))
            slope = sorted(sign * (bound - m) for bound in self.slope(unit["map"]))
            bounds = (1, 1) if energy else (*slope,)
            unit["slope"] = "I" if bounds == (1, 1) else f"{name}'"
            self.bounds[unit["slope"]] = bounds
        self.known = signs | gates | {name for name, (low, _) in self.bounds.items() if low >= 0}
        names = [*self.kind, *data["equations"], *self.bounds]
        demand(len({*names}) == len(names) - 1, "a name is two things", ValueError)  # but for I
        self.point: dict[str, Any] = {}
        for name, kind in (dict.fromkeys(self.bounds, "slope") | self.kind).items():
            A = RANDOM.integers(1, LARGE, (N, N)).astype(object) ** 2  # diagonals have roots
            drawn = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            self.point[name] = np.diag(A[0]) if kind in DIAGONAL else drawn.get(kind, A)
        for name in (n for n, kind in self.kind.items() if kind in ("number", "formula", "gate")):
            x = self.value(values[name], self.point)
            self.point[name] = np.diag(x) if np.ndim(x) else x
        at = {name: x for name, x in self.point.items() if name in self.kind}
        s = {s: RANDOM.integers(-LARGE, LARGE, N).astype(object) for s in data["equations"]}
        rates = {s: self.value(data["forcing"].get(s, "0"), at) for s in s}
        for unit in self.units.values():  # F(s) = L φ(R s) + f at a random state
            m, sign = map(Fraction, unit.get("rest", "01"))
            x = sum(self.value(a, at) @ s[i] for i, a in unit["row"].items())
            y = reduce(lambda x, stage: self.value([*stage, x], at), unit["map"], x)
            y = sign * (y - m * x)
            for i, a in unit["column"].items():
                rates[i] = rates[i] + self.value(a, at) @ y
        for i, tree in data["equations"].items():
            demand(np.all(self.value(tree, at | s) == rates[i]), f"the units do not give {i}'")

    def value(self, tree, point) -> Any:  # a formula is a name, a number, or a list [kind, part, …]
        if not isinstance(tree, str | list):
            return tree
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
        drawn = [self.functions.setdefault((first, *constants, *k), draw()) for k in keys]
        return np.array(drawn, object) * [(t > 0) - (t < 0) if odd else 1 for t in x]

    def slope(self, stages) -> tuple:  # between what the derivative of a map lies
        low, high = 1, 1
        for kind, first, *rest in stages:
            if kind in ("*", "+"):
                own = [Fraction(first) if kind == "*" else 1]
            elif kind == "call" and self.kind.get(first) == "batch norm":
                frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
                own = [0 if frozen else -inf, inf]
            else:
                known = kind == "call" and first in SLOPES.keys() - self.kind.keys()
                demand(known, f"{kind} {first!r:.40} in a unit", Unchecked)
                demand(first != "shrink" or number(rest[0]) >= 0, "shrink by less than 0")
                own = SLOPES[first] + [*map(Fraction, rest[: first == "leaky_relu"])]
            ends = [x * y if x and y else 0 for x in own for y in (low, high)]
            low, high = min(ends), max(ends)
        return low, high

    def weight(self, terms):  # a sum of numbers > 0 times numbers and diagonals >= 0
        for x, powers in terms:
            known = all(n in self.known or number(p) % 2 == 0 for n, p in powers.items())
            demand(known and number(x) > 0, f"{terms} is not known to be positive")
        words = [["*", x, *(["^", n, p] for n, p in powers.items())] for x, powers in terms]
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

    def block(self, done, states, decay, factors, T, M, groups):  # of J; what it gives
        units = [unit for unit in self.units.values() if unit["column"].keys() & {*states}]
        seen = {state for unit in units for state in unit["row"]} - {*done} | {*states}
        demand(sorted(seen) == sorted(states), "J is not triangular")
        J = reduce(np.matmul, self.terms([*self.units.values()], states))
        factors = [self.units[f] if isinstance(f, str) else f for f in factors]
        L, D, R = self.terms(factors, states)
        γ = {s: self.weight(decay.get(s, [])) for s in states}
        Γ, Γφ = self.diagonal([*γ.values()]), self.diagonal([γ[min(f["row"])] for f in factors])
        demand((J + Γ == L @ D @ R).all(), f"J is not that of the factors of {states}")
        demand((Γφ @ R == R @ Γ).all(), "a unit reads states of different decay")
        changed, M, T = [v for v, by in enumerate(T) if by != "I"], self.grid(M), self.diagonal(T)
        twin = not self.energy and (R @ L @ T == T @ M).all()
        demand(twin or (T @ R @ L == M @ T).all(), "M is not R L")
        for v in changed:
            μ = M[v * N : v * N + N, v * N : v * N + N]
            plain = (μ == μ[0, 0] * self.point["I"]).all() and factors[v]["slope"] == "I"
            plain = plain and len(changed) == 1 and (T @ Γφ == Γφ @ T).all()
            demand(plain, "no theorem allows this T")
        gives, rest = ALL - {"imaginary" if decay else ""}, {*range(len(M))}
        for group in groups:
            own = [i * N + k for i in group["units"] for k in range(N)]
            rest -= {*own}
            demand(not M[np.ix_(own, [*rest])].any(), "M is not block triangular")
            slopes = [factors[i]["slope"] for i in group["units"]]
            if M[np.ix_(own, own)].any():
                gives = gives & self.group(M[np.ix_(own, own)], Γφ[np.ix_(own, own)], slopes, group)
        demand(not rest and (not self.energy or len(groups) == 1), "a unit has no proof")
        return gives

    def group(self, M, Γ, slopes, group):  # a diagonal block of M; what its eigenvalues are
        kind, squares, C = group["kind"], group["squares"], group["weights"]
        demand(kind in GIVES, f"a part of the kind {kind!r:.40}", Unchecked)
        demand({*slopes} <= self.known, "a slope may be < 0")
        if allowance := group.get("allowance"):  # A with A S <= A S + r = Γ
            A, r = (self.diagonal([self.weight(row[i]) for row in allowance]) for i in (0, 1))
            M, Sa = M - A, A @ self.diagonal([s for _, _, s in allowance])
            bounds = [number(s) if a else inf for a, _, s in allowance]
            bounded = all(self.bounds[n][1] <= s for n, s in zip(slopes, bounds, strict=True))
            demand(bounded and (Sa + r == Γ).all(), "an allowance above a decay")
        C = self.diagonal(C if self.energy else [*map(self.weight, C)])
        demand((C == np.diag(np.diag(C))).all(), "C is not diagonal")
        if "mix" in group:  # VᵀCV, with V invertible, where D = I and the decay is one
            V = self.grid(group["mix"])
            plain = {*slopes} == {"I"} and not self.energy and (Γ == Γ[0, 0] * np.eye(len(V))).all()
            demand(plain and (np.tril(V) == np.eye(len(V))).all(), "no theorem allows this C")
            C = V.T @ C @ V
        S = C @ M if kind == "symmetric" else C @ M + (C @ M).T
        demand((S == S.T).all(), "C M is not symmetric")
        for weight, row in squares:
            W = self.grid([row])
            S = S + W.T @ self.diagonal([self.weight(weight)]) @ W
        demand(not S.any() and not (squares and "anti" in kind), f"C M is not {kind}")
        return GIVES[kind]


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(BYTES))
        print(*(f"{s}' = {json.dumps(f)}" for s, f in data["equations"].items()), sep="\n")
        verdict, energy, gives, done = data["verdict"], data["energy"], ALL, []
        conditions, whole = [[*c.values()] for c in data["conditions"]], {*data["equations"]}
        for block in filter(None, [energy, *data["blocks"]]):
            checker = Checker(data, block, block is energy)
            found = checker.block([] if block is energy else done, **block)
            if block is not energy:
                gives, done = gives & found, done + block["states"]
                continue
            left = {name for name, u in checker.units.items() if u["map"]} - {
                *map(str, block["factors"])
            }
            left |= (whole - {*block["states"]}) | data["forcing"].keys() | block["decay"].keys()
            demand(not left, f"the energy leaves out {left}")
            print("proved: the energy", "is conserved" if "imaginary" in found else "never grows")
        given = {*done} == whole and ["constant weights"] in conditions
        demand(given and verdict in gives, f"the spectrum is {verdict}")
        print(f"proved: the spectrum is {verdict}, given {', '.join(map(' of '.join, conditions))}")
        return 0
    except Exception as error:
        known = isinstance(error, Unproved)
        print(f"{type(error).__name__ if known else 'no certificate'}: {error!r:.200}")
        return 1 if known else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
