"""Checks a certificate of odenet: `python verify.py certificate.json`.

Imports nothing of odenet and can be copied alone. It takes the theorems of docs/certificates.md for
granted, and nothing that the certificate says. Every identity is tested exactly, at random integer
matrices: the equations against s' = L φ(R s) + f, with random functions as activations; J + Γ =
L D R; M = R L; C (M - A) and its squares. Different sums of words of fewer than N letters differ
there, but for a chance below 10^-9. Exit codes: 0 proved, 1 not proved, 2 this is no certificate.
"""

import json
import sys
from collections import defaultdict
from fractions import Fraction
from functools import reduce
from math import inf, isqrt
from typing import Any

import numpy as np

LARGE, BYTES, ZERO, RANDOM = 10**15, 10**6, ["*", "0", "I"], np.random.default_rng()
SLOPES: dict[str, tuple] = dict.fromkeys(["relu", "tanh", "softplus", "elu", "hardtanh"], (0, 1))
SLOPES |= {"gelu": (Fraction("-0.13"), Fraction("1.13")), "silu": (Fraction("-0.1"), Fraction("1.1"))}
SLOPES |= {"sigmoid": (0, Fraction(1, 4)), "sin": (-1, 1), "identity": (1, 1)}
NEVER_NEGATIVE, ODD = {"relu", "sigmoid", "softplus"}, {"tanh", "hardtanh", "sin", "shrink"}
DIAGONAL, SIGNED = {"diag", "gate", "slope"}, {"scalar", "diag", "gate"}
ALL = {"imaginary", "real", "stable"}
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


def letters(tree) -> int:  # at most so many factors are in one word of a formula
    if isinstance(tree, str):
        return number(tree) is None
    parts = [letters(part) for part in tree[1:]]
    return sum(parts) if tree[0] == "*" else max(parts, default=0)


def moves(tree):  # whether · is in it
    return tree == "·" or (not isinstance(tree, str) and any(map(moves, tree[1:])))


def both(a, b):  # between what the products of two intervals lie
    products = [x * y if x and y else 0 for x in a for y in b]
    return min(products), max(products)


def definite(C):  # whether a symmetric matrix is positive definite, by its pivots
    for k in range(len(C)):
        if not C[k, k] > 0:
            return False
        C = C - np.outer(C[k], C[k]) * Fraction(1, C[k, k])
    return True


class Checker:
    def __init__(self, data, units):
        self.units, self.slopes = units, {"I": (1, 1)}
        self.functions = defaultdict(lambda: int(RANDOM.integers(LARGE)) ** 2)
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        self.kind, values = data["kinds"] | {"u": "bias", "I": "identity"}, data["values"]
        self.known = {n for kind, n in self.conditions if kind == "sign" and self.kind[n] in SIGNED}
        gates = {n: tree[:2] for n, tree in values.items() if self.kind[n] == "gate"}
        calls = {n for n, start in gates.items() if start[0] == "call"} - self.kind.keys()
        self.known |= {n for n in calls if gates[n][1] in NEVER_NEGATIVE - self.kind.keys()} | {"I"}
        for name, unit in units.items():
            slope = self.slope(unit["map"])
            unit["slope"] = "I" if slope == (1, 1) else f"{name}'"
            self.slopes[unit["slope"]] = slope
        self.kind |= {name: "slope" for name in self.slopes if name != "I"}
        demand(not self.kind.keys() & data["equations"].keys(), "a name is two things", ValueError)
        words = [a for u in units.values() for k in ("row", "column") for a in u[k].values()]
        self.longest = max(map(letters, words))
        N = self.N = max(9, 3 * self.longest + 2, *map(letters, data["equations"].values()))
        demand(N < 40, "it has words of too many letters", ValueError)
        self.point: dict[str, Any] = {}
        for name, kind in self.kind.items():
            A = RANDOM.integers(1, LARGE, (N, N)).astype(object) ** 2  # diagonals have roots
            drawn = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            self.point[name] = np.diag(A[0]) if kind in DIAGONAL else drawn.get(kind, A)
        for name in (n for n, kind in self.kind.items() if kind in ("number", "formula", "gate")):
            x = self.value(values[name], self.point)
            self.point[name] = np.diag(x) if np.ndim(x) else x
        self.free = {n: x for n, x in self.point.items() if self.kind[n] != "slope" and n != "·"}
        self.known |= {name for name, slope in self.slopes.items() if slope[0] >= 0}

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

    def slope(self, tree) -> tuple:  # bounds of the derivative of a map
        if not moves(tree) or tree == "·":
            return (1, 1) if tree == "·" else (0, 0)
        kind, first, *constants, inner = tree
        if kind == "+":
            return tuple(map(sum, zip(*map(self.slope, tree[1:]), strict=True)))
        if kind == "*":
            factors = [self.size(part) for part in tree[1:] if not moves(part)]
            inside = [part for part in tree[1:] if moves(part)]
            slopes = [*map(self.slope, inside)]
            if len(inside) > 1:  # all >= 0, all rising or all falling
                same = all(a >= 0 for a, _ in slopes) or all(b <= 0 for _, b in slopes)
                plain = all(p[0] == "call" and p[1] in NEVER_NEGATIVE for p in inside)
                demand(same and plain, "a product of functions of any sign")
                slopes = [(0, inf) if slopes[0][0] >= 0 else (-inf, 0)]
            return reduce(both, factors, slopes[0])
        of = self.kind.get(first)
        demand(kind == "call" and of in (None, "batch norm"), f"{first} acts on values together")
        if of:
            frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
            return both((0 if frozen else -inf, inf), self.slope(inner))
        if first in ("leaky_relu", "shrink"):
            a = number(constants[0])
            demand(first != "shrink" or a >= 0, "shrink of a negative number")
            return both((min(1, a), max(1, a)) if first != "shrink" else (0, 1), self.slope(inner))
        demand(first in SLOPES, f"the slope of {first}", Unchecked)
        return both(SLOPES[first], self.slope(inner))

    def size(self, tree) -> tuple:  # between what a factor lies
        power = number(tree[2]) if tree[0] == "^" else 1
        plain = tree if isinstance(tree, str) else tree[1] if tree[0] == "^" else None
        if isinstance(tree, str) and number(tree) is not None:
            return number(tree), number(tree)
        return (0 if plain in self.known or power % 2 == 0 else -inf), inf

    def weight(self, terms, signed=False):  # a sum of numbers > 0 times numbers and diagonals >= 0
        for x, powers in terms:
            known = all(n in self.known or number(p) % 2 == 0 for n, p in powers.items())
            demand(signed or (known and number(x) > 0), f"{terms} is not known to be positive")
        words = [["*", x, *(["^", n, p] for n, p in powers.items())] for x, powers in terms]
        return ["+", *words] if terms else "0"

    def grid(self, rows):
        rows = [[*row] for row in rows]
        long = max(letters(tree) for row in rows for tree in row) + self.longest
        demand(long < self.N, "it has words of too many letters", ValueError)
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
        draw = [RANDOM.integers(-LARGE, LARGE, self.N).astype(object) for _ in equations]
        at = self.free | dict(zip(equations, draw, strict=True))
        rates = {s: self.value(forcing.get(s, "0"), self.free) for s in equations}
        for unit in self.units.values():
            x = sum(self.value(a, self.free) @ at[s] for s, a in unit["row"].items())
            φ = self.value(unit["map"], self.free | {"·": x})
            for s, a in unit["column"].items():
                rates[s] = rates[s] + self.value(a, self.free) @ φ
        for s, tree in equations.items():
            demand(np.all(self.value(tree, at) == rates[s]), f"the units do not give {s}'")

    def allowance(self, group, slopes, Γ):  # A with A S + r = Γ for some r >= 0
        found = []
        for (a, s), slope, γ in zip(group["allowance"], slopes, Γ, strict=True):
            parts = ["*", self.weight(a), s], self.weight(group["rest"]), γ
            least = [self.diagonal([part]) for part in parts]
            demand(not a or (least[0] + least[1] == least[2]).all(), "an allowance above a decay")
            demand(not a or self.slopes[slope][1] <= number(s), f"{slope} may be above {s}")
            found.append(self.weight(a))
        return self.diagonal(found)

    def scaling(self, group, slopes, Γ, energy):  # C, which commutes with D and Γ
        if "scaling" not in group:
            return self.diagonal([self.weight(c, energy) for c in group["weights"]])
        plain = {*slopes} == {"I"} and all(γ == Γ[0] for γ in Γ) and not energy
        demand(plain, "C does not commute with D and Γ")
        C = np.array([[*map(number, row)] for row in group["scaling"]], object)
        demand((C == C.T).all() and definite(C), "C is not positive definite")
        return self.grid([[["*", x, "I"] for x in row] for row in group["scaling"]])

    def block(self, done, states, decay, factors, T, M, groups, energy=False):  # a block of J
        own = [unit for unit in self.units.values() if unit["column"].keys() & {*states}]
        reads = {state for unit in own for state in unit["row"]} | {*states}
        demand(reads <= {*done, *states} and len({*states}) == len(states), "J is not triangular")
        J = reduce(np.matmul, self.terms([*self.units.values()], states))
        factors = [self.units[f] if isinstance(f, str) else f for f in factors]
        L, D, R = self.terms(factors, states)
        γ = [self.weight(decay.get(s, [])) for s in states]
        at = [γ[states.index(min(f["row"]))] for f in factors]
        Γ, Γφ = self.diagonal(γ), self.diagonal(at)
        demand((J + Γ == L @ D @ R).all(), f"J is not that of the factors of {states}")
        demand((Γφ @ R == R @ Γ).all(), "a unit reads states of different decay")
        changed, M, T = [v for v, by in enumerate(T) if by != "I"], self.grid(M), self.diagonal(T)
        left = not energy and (R @ L @ T == T @ M).all()
        demand(left or (T @ R @ L == M @ T).all(), "M is not R L")
        demand((T @ Γφ == Γφ @ T).all(), "a decay does not commute with T")
        M, each = M.reshape(len(factors), self.N, len(factors), self.N), range(self.N)
        for v in changed:
            plain = (M[v, :, v] == M[v, 0, v, 0] * self.point["I"]).all() and len(changed) == 1
            demand(plain and factors[v]["slope"] == "I", "no theorem allows this T")
        gives, rest = ALL - {"imaginary" if decay else ""}, {*range(len(factors))}
        demand(not energy or len(groups) == 1, "an energy is that of all units at once")
        for group in groups:
            kind, places = group["kind"], group["units"]
            rest -= {*places}
            demand(not M[np.ix_(places, each, [*rest], each)].any(), "M is not block triangular")
            demand(kind in GIVES, f"parts of the kind {kind!r:.40}", Unchecked)
            own = M[np.ix_(places, each, places, each)].reshape(len(places) * self.N, -1)
            if not own.any():
                continue
            slopes, Γs = [factors[i]["slope"] for i in places], [at[i] for i in places]
            demand({*slopes} <= self.known, "a slope may be < 0")
            own = own - self.allowance(group, slopes, Γs) if "allowance" in group else own
            S = self.scaling(group, slopes, Γs, energy) @ own
            S = S if kind == "symmetric" else S + S.T
            demand((S == S.T).all(), "C M is not symmetric")
            for weight, row in group["squares"]:
                W = self.grid([row])
                S = S + W.T @ self.diagonal([self.weight(weight)]) @ W
            demand(not S.any() and not (group["squares"] and "anti" in kind), f"C M is not {kind}")
            gives = gives & GIVES[kind]
        demand(not rest, "a unit has no proof")
        return gives


def judge(data):
    verdict, energy, gives = data["verdict"], data["energy"], ALL
    demand(verdict in ALL or energy, f"the certificate says {verdict}, it claims nothing")
    whole, done, forced = {*data["equations"]}, [], data["forcing"].keys()
    conditions = {" of ".join(filter(None, (c["kind"], c.get("of")))) for c in data["conditions"]}
    if energy:  # no slope is part of its proof: D = I, and the names of slopes mean nothing
        units = energy.pop("units", data["units"])
        checker = Checker(data, {name: {**unit} for name, unit in units.items()})
        checker.check_equations(data["equations"], data["forcing"])
        left = {k for k, unit in units.items() if unit["map"] != "·" and k not in energy["factors"]}
        left |= (whole - {*energy["states"]}) | forced | energy["decay"].keys()
        demand(not left, f"the energy leaves out {left}")
        for unit in checker.units.values():
            unit["slope"] = "I"
        checker.point, checker.known = checker.free, checker.known - checker.slopes.keys() | {"I"}
        kept = "imaginary" in checker.block([], **energy, energy=True)
        print("proved: the energy", "is conserved" if kept else "never grows")
    demand(verdict in ALL, f"the spectrum is {verdict}")
    checker = Checker(data, data["units"])
    checker.check_equations(data["equations"], data["forcing"])
    for block in data["blocks"]:
        gives, done = gives & checker.block(done, **block), done + block["states"]
    demand({*done} == whole and verdict in gives and "constant weights" in conditions, verdict)
    print(f"proved: the spectrum is {verdict}, given {', '.join(sorted(conditions))}")


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(BYTES))
        for s, tree in data["equations"].items():
            print(f"{s}' = {json.dumps(tree, ensure_ascii=False)}")
        judge(data)
        return 0
    except Exception as error:
        known = isinstance(error, Unproved)
        print(f"{type(error).__name__ if known else 'no certificate'}: {error!r:.200}")
        return 1 if known else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
