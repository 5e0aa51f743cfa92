"""Checks a certificate of odenet, without importing odenet: `python verify.py certificate.json`.

It relies on the theorems of docs/certificates.md, but on nothing that the certificate claims. It
tests identities exactly, at random N x N integer matrices and with random functions as activations.
Different sums of products of fewer than N operators are equal there with probability < 10^-9. The
exit code is 0 if the verdict is proved, 1 if it is not proved or not checked, 2 for other files.
"""

import json
import sys
from fractions import Fraction
from functools import reduce
from math import inf, isqrt
from typing import Any

import numpy as np

N, MAX_DRAWN, MAX_BYTES, ZERO_TREE, RNG = 9, 10**15, 10**6, ["*", "0", "I"], np.random.default_rng()
TABLE = "relu 0 1,tanh 0 1,sigmoid 0 1/4,softplus 0 1,elu 0 1,hardtanh 0 1,shrink 0 1,sin -1 1,"
TABLE += "leaky_relu 0 1,gelu -13/100 113/100,silu -1/10 11/10"  # bounds of φ'
SLOPES = {name: [*map(Fraction, ends)] for name, *ends in map(str.split, TABLE.split(","))}
NONNEGATIVE = [["call", "relu"], ["call", "sigmoid"], ["call", "softplus"]]  # of gates
ODD, VERDICTS = {"tanh", "hardtanh", "sin", "shrink"}, {"imaginary", "real", "stable"}
PROVES = dict(antisymmetric="imaginary stable", symmetric="real stable", dissipative="stable")
Unproved = type("not proved", (Exception,), {"__repr__": Exception.__str__})
Unchecked = type("not checked", (Unproved,), {})  # the names of these two are printed


def require(condition, message, error: type = Unproved):
    if not condition:
        raise error(message)


def to_number(text) -> Any:  # of a text such as -1/2; None for a name
    return (Fraction if "/" in text else int)(text) if not text.strip("-/0123456789") else None


def power(x, p):  # of a number or a diagonal matrix
    if np.ndim(x):
        require((x == np.diag(np.diag(x))).all(), "a power of an operator", ValueError)
        return np.diag([power(entry, p) for entry in np.diag(x)])
    root = Fraction({1: x, 2: isqrt(abs(int(x)))}[p.denominator])
    require(abs(p) * len(str(x)) < 20_000 and root**p.denominator == x, "absurd power", ValueError)
    return root**p.numerator


COMPUTE = {"T": np.transpose, "^": power, "+": lambda *terms: np.stack(terms).sum(0)}
COMPUTE["*"] = lambda *x: reduce(lambda a, b: a @ b if np.ndim(a) > 1 and np.ndim(b) else a * b, x)


class Checker:  # tests what is claimed of a block of J, or of an energy, at one random point
    def __init__(self, data, block, energy):  # data: the JSON; an energy uses no slopes: D = I
        self.units, self.energy, self.random_values = block.pop("units", data["units"]), energy, {}
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        self.kinds, values = data["kinds"] | {"u": "bias", "I": "identity"}, data["values"]
        signs = {n for n, kind in self.kinds.items() if ("sign", n) in self.conditions}
        signs = {n for n in signs if self.kinds[n] in ("scalar", "diag", "gate")}
        gates = {n for n, k in self.kinds.items() if k == "gate" and values[n][:2] in NONNEGATIVE}
        self.nonneg, self.slope_bounds, self.point = signs | gates | {"I"}, {"I": (1, 1)}, {}
        names = [*self.kinds, *data["equations"], *(f"{name}'" for name in self.units)]
        require(len({*names, *SLOPES}) == len(names) + len(SLOPES), "a name is two things")
        for name in names:  # random squares, so that diagonals have roots
            A, kind = RNG.integers(1, MAX_DRAWN, (N, N)).astype(object) ** 2, self.kinds.get(name)
            by_kind = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            by_kind |= dict.fromkeys(["diag", None], np.diag(A[0]))  # None: a state or slope
            self.point[name] = by_kind.get(kind, A)
            if kind in ("number", "formula", "gate"):
                x = self.evaluate(values[name], self.point)
                self.point[name] = np.diag(x) if np.ndim(x) else x
        env = {name: self.point[name] for name in self.kinds}  # all but states and slopes
        s = {i: np.diag(self.point.pop(i)) for i in data["equations"]}  # the random state
        rates = {i: self.evaluate(data["forcing"].get(i, "0"), env) for i in s}
        for name, unit in self.units.items():  # F(s) = L φ(R s) + f at a random state
            m, sign = map(Fraction, unit.get("rest", (0, 1)))  # ψ(x) = sign (φ(x) - m x)
            low, high = sorted(sign * (bound - m) for bound in self.slope_range(unit["map"]))
            unit["slope"] = "I" if energy or low == high == 1 else f"{name}'"
            self.slope_bounds.setdefault(unit["slope"], (low, high))
            x = sum(self.evaluate(a, env) @ s[i] for i, a in unit["row"].items())
            y = reduce(lambda y, stage: self.evaluate([*stage, y], env), unit["map"], x)
            for i, a in unit["column"].items():
                rates[i] = rates[i] + sign * self.evaluate(a, env) @ (y - m * x)
        self.nonneg |= {name for name, (low, _) in self.slope_bounds.items() if low >= 0}
        for i, tree in data["equations"].items():
            require(np.all(self.evaluate(tree, env | s) == rates[i]), f"the units do not give {i}'")

    def evaluate(self, tree, point) -> Any:  # of a name, a number, or a list [kind, part, …]
        if not isinstance(tree, list):
            x = tree if isinstance(tree, np.ndarray) else to_number(tree)
            return point[tree] if x is None else x
        kind, first, *rest = tree
        if kind != "call":
            require(kind != "^" or "/" not in rest[0] or first in self.nonneg, f"a root of {first}")
            return COMPUTE[kind](*(self.evaluate(part, point) for part in tree[1:]))
        *constants, x = (self.evaluate(part, point) for part in rest)
        odd, learned = first in ODD, first in self.kinds  # learned: differs from entry to entry
        keys = [(first, *constants, abs(t) if odd else t, i * learned) for i, t in enumerate(x)]
        fresh = RNG.integers(1, MAX_DRAWN, len(x)).astype(object) ** 2  # for new arguments
        f = [self.random_values.setdefault(k, y) for k, y in zip(keys, fresh, strict=True)]
        return np.array(f, object) * [(t > 0) - (t < 0) if odd else 1 for t in x]

    def slope_range(self, stages) -> tuple:  # bounds of the derivative of a chain of functions
        low, high = 1, 1
        for kind, first, *rest in stages:
            if kind in ("*", "+"):
                slopes = [Fraction(to_number(first)) if kind == "*" else 1] * (not rest)
            elif kind == "call" and self.kinds.get(first) == "batch norm":
                frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
                slopes = [0 if frozen else -inf, inf]
            else:
                require(kind == "call" and first in SLOPES, f"{kind} {first!r:.40}", Unchecked)
                slopes = SLOPES[first] + [*map(to_number, rest)]  # leaky_relu(2) has slope 2 too
            low, *_, high = sorted(x * y if x and y else 0 for x in slopes for y in (low, high))
        return low, high

    def positive_sum(self, terms, signed=False):  # Σ number > 0 times powers of names >= 0
        for x, powers in terms:
            known = all(n in self.nonneg or to_number(p) % 2 == 0 for n, p in powers.items())
            require(signed or (known and to_number(x) > 0), f"{terms} is not known to be positive")
        words = [["*", x, *(["^", *power] for power in powers.items())] for x, powers in terms]
        return ["+", *words] if terms else "0"

    def matrix(self, rows):  # rows of formulas of operators, as one matrix
        return np.block([[self.evaluate(tree, self.point) for tree in row] for row in rows])

    def diagonal(self, trees):  # a block diagonal matrix
        n = range(len(trees))
        return self.matrix([["*", trees[i], "I"] if i == j else ZERO_TREE for j in n] for i in n)

    def factor_matrices(self, terms, states):  # L, D and R of a sum of terms L D R
        require(0 < len(terms) < 99, "it has too many terms, or none", ValueError)
        L = self.matrix([[term["column"].get(s, ZERO_TREE) for term in terms] for s in states])
        R = self.matrix([[term["row"].get(s, ZERO_TREE) for s in states] for term in terms])
        return L, self.diagonal([term["slope"] for term in terms]), R

    def block(self, earlier, states, decay, factors, T, M, kind, weights, squares, allowance=()):
        require(kind in PROVES, f"a part of the kind {kind!r:.40}", Unchecked)
        read = {s for u in self.units.values() if u["column"].keys() & {*states} for s in u["row"]}
        require(sorted(read - {*earlier} | {*states}) == sorted(states), "J is not triangular")
        J = reduce(np.matmul, self.factor_matrices([*self.units.values()], states))
        factors = [self.units[f] if isinstance(f, str) else f for f in factors]
        slopes, (L, D, R) = [f["slope"] for f in factors], self.factor_matrices(factors, states)
        γ = {s: self.positive_sum(decay.get(s, [])) for s in states}
        Γ, Γφ = self.diagonal([*γ.values()]), self.diagonal([γ[min(f["row"])] for f in factors])
        require((J + Γ == L @ D @ R).all(), f"J is not that of the factors of {states}")
        require((Γφ @ R == R @ Γ).all(), "a unit reads states of different decay")
        (v, factor), M = T or (0, "I"), self.matrix(M)  # T multiplies unit v by a factor
        T = self.diagonal([factor if i == v else "I" for i in range(len(factors))])
        RL, at = R @ L, slice(v * N, v * N + N)  # M[at, at] is M_vv
        right_form = not self.energy and (RL @ T == T @ M).all()
        require(right_form or (T @ RL == M @ T).all(), "M is not R L")
        allowed = (M[at, at] == RL[at, at]).all() and (Γφ @ T == T @ Γφ).all() and slopes[v] == "I"
        allowed = allowed and (M[at, at] == M[at, at][0, 0] * self.point["I"]).all()
        require(factor == "I" or allowed, "no theorem allows this T")
        require({*slopes} <= self.nonneg or not M.any(), "a slope may be < 0")
        verdicts = ({*PROVES[kind].split()} if M.any() else VERDICTS) - {"imaginary" * bool(decay)}
        if allowance:  # a, r, s of each factor: A S <= A S + r = Γ, with A of all a, S of all s
            A, r = (self.diagonal([self.positive_sum(row[i]) for row in allowance]) for i in (0, 1))
            M, AS = M - A, A @ self.diagonal([s for _, _, s in allowance])
            limits = [to_number(s) if a else inf for a, _, s in allowance]
            below = all(self.slope_bounds[n][1] <= s for n, s in zip(slopes, limits, strict=True))
            require(below and (AS + r == Γφ).all(), "an allowance above a decay")
        C = self.diagonal([self.positive_sum(c, self.energy) for c in weights])
        S = C @ M if kind == "symmetric" else C @ M + (C @ M).T
        for weight, row in squares:
            W = self.matrix([row])
            S = S + W.T @ self.diagonal([self.positive_sum(weight)]) @ W
        require(not S.any() and not (squares and "anti" in kind), f"C M is not {kind}")
        return verdicts


def main(path):  # docs/certificates.md explains the keys of the file
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(MAX_BYTES))
        print(*map(" : ".join, data["kinds"].items()), sep=", ")
        print(*(f"{s}' = {f}" for s, f in data["equations"].items()), sep="\n")
        verdict, energy, verdicts, earlier = data["verdict"], data["energy"], VERDICTS, []
        conditions, states = [[*c.values()] for c in data["conditions"]], {*data["equations"]}
        if energy:
            checker = Checker(data, energy, True)
            conserved, factors = "imaginary" in checker.block([], **energy), energy["factors"]
            lost = {n for n, u in checker.units.items() if u["map"] and factors.count(n) != 1}
            lost |= (states - {*energy["states"]}) | data["forcing"].keys() | energy["decay"].keys()
            require(not lost, f"the energy leaves out {lost}")
            print("proved: the energy", "is conserved" if conserved else "never grows")
        for block in data["blocks"]:
            verdicts = verdicts & Checker(data, block, False).block(earlier, **block)
            earlier += block["states"]
        complete = {*earlier} == states and ["constant weights"] in conditions
        require(complete and verdict in verdicts, f"the verdict {verdict} has no proof here")
        print(f"proved: the spectrum is {verdict}, given {', '.join(map(' of '.join, conditions))}")
        return 0
    except Exception as error:
        known = isinstance(error, Unproved)
        print(f"{type(error).__name__ if known else 'no certificate'}: {error!r:.200}")
        return 1 if known else 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
