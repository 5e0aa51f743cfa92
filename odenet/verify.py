"""Checks a certificate of odenet: `python verify.py certificate.json`.

Imports nothing of odenet and can be copied alone. It takes the theorems of docs/certificates.md for
granted, and nothing that the certificate says. Every identity is tested in exact arithmetic at
random integer matrices: the equations against s' = L φ(R s) + f, with random functions as
activations; J + Γ = L D R; M = R L; C M and its squares. Sums of words of fewer than N letters that
differ as such differ there, but for a chance below 10^-9 (Amitsur 1968; Schwartz 1980).
Exit codes: 0 the verdict is proved, 1 it is not, 2 this is no certificate.
"""

import json
import re
import sys
from collections import defaultdict
from fractions import Fraction
from functools import reduce
from math import isqrt

import numpy as np

N, LARGE, BYTES, ZERO, RANDOM = 9, 10**15, 10**6, ["*", "0", "I"], np.random.default_rng()
RISING = {"relu", "tanh", "sigmoid", "softplus", "elu", "hardtanh", "identity"}
RISING_FROM_ZERO, ODD = {"leaky_relu", "shrink"}, {"tanh", "hardtanh", "sin", "shrink"}
SIGNED, ALL = {"scalar", "diag", "gate"}, {"imaginary", "real", "stable"}
GIVES = {
    "antisymmetric": ALL - {"real"},
    "symmetric": ALL - {"imaginary"},
    "dissipative": {"stable"},
}
Unproved = type("Unproved", (Exception,), {})


def demand(holds, otherwise, error=Unproved):
    if not holds:
        raise error(otherwise)


def number(text):
    return re.fullmatch("-?[0-9]{1,1300}(/[0-9]{1,1300})?", text) and Fraction(text)


def power(x, p):
    if np.ndim(x):
        demand((x == np.diag(np.diag(x))).all(), "a power of an operator", ValueError)
        return np.diag([power(entry, p) for entry in np.diag(x)])
    demand(abs(p) * len(str(x)) < 20_000, "an absurd power", ValueError)
    root = Fraction(x if p.denominator == 1 else isqrt(int(x)))
    demand(root**p.denominator == x, f"the power {p} of {x}")
    return root**p.numerator


def part(matrix, rows, columns):
    return matrix[np.ix_(*([N * i + k for i in at for k in range(N)] for at in (rows, columns)))]


FORMULAS = {
    "+": lambda *terms: np.stack(terms).sum(0),
    "*": lambda *x: reduce(lambda a, b: a @ b if np.ndim(a) > 1 and np.ndim(b) else a * b, x),
    "T": np.transpose,
    "^": power,
}


class Checker:
    def __init__(self, data):
        self.equations, self.units = data["equations"], data["units"]
        self.functions = defaultdict(lambda: int(RANDOM.integers(LARGE)) ** 2)
        for name, unit in self.units.items():
            unit["slope"] = "I" if unit["map"] == "·" else f"{name}'"
        slopes = dict.fromkeys((unit["slope"] for unit in self.units.values()), "slope")
        self.kind = data["kinds"] | slopes | {"u": "bias", "I": "identity"}
        demand(not self.kind.keys() & self.equations.keys(), "a name is two things", ValueError)
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        known = {name for kind, name in self.conditions if kind == "sign"}
        self.known = {name for name in known if self.kind[name] in SIGNED} | {"I"}
        self.point = {}
        for name, kind in self.kind.items():
            A = RANDOM.integers(1, LARGE, (N, N)).astype(object) ** 2  # diagonals have roots
            drawn = {"bias": A[0], "scalar": A[0, 0], "identity": np.identity(N, object)}
            diagonal = kind in ("diag", "gate", "slope")
            self.point[name] = np.diag(A[0]) if diagonal else drawn.get(kind, A)
        for name, tree in data["values"].items():
            x = self.value(tree, self.point)
            self.point[name] = np.diag(x) if np.ndim(x) else x
        self.free = {n: x for n, x in self.point.items() if self.kind[n] != "slope" and n != "·"}
        self.known |= {unit["slope"] for unit in self.units.values() if self.rise(unit["map"]) == 1}

    def value(self, tree, point):
        """A formula is a name, a number, or a list [kind, part, …]."""
        if isinstance(tree, str):
            return point[tree] if number(tree) is None else number(tree)
        kind, first, *rest = tree
        if kind != "call":
            values = [self.value(part, point) for part in tree[1:]]
            rooted = kind == "^" and values[1].denominator > 1 and str(first) not in self.known
            demand(not rooted, f"a root of {first}, whose sign is not known")
            return FORMULAS[kind](*values)
        *constants, x = (self.value(part, point) for part in rest)
        return x if first == "identity" else self.call(first, self.kind.get(first), constants, x)

    def call(self, name, kind, constants, x):
        """A random function; of each value by itself if it is an activation or a batch norm."""
        odd, whole = kind is None and name in ODD, x if kind not in (None, "batch norm") else ()
        keys = [(abs(t) if odd else t, i if kind else 0, *whole) for i, t in enumerate(x)]
        found = [self.functions[name, *constants, *key] for key in keys]
        return np.array(found, object) * [(t > 0) - (t < 0) if odd else 1 for t in x]

    def rise(self, tree):
        """1 for a unit's map that is nondecreasing, -1 for its negative, 0 if it may be neither."""
        if tree == "·":
            return 1
        kind, first, *constants, inner = tree
        if kind == "+":
            return self.rise(inner) * (self.value(first, self.free) is not None)  # it has no ·
        if kind == "*":
            return self.rise(inner) * (number(first) > 0 or -1)
        of = self.kind.get(first)
        demand(kind == "call" and of in (None, "batch norm"), f"{first} acts on values together")
        frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
        rising = first in RISING or first in RISING_FROM_ZERO and number(constants[0]) >= 0
        return self.rise(inner) * (frozen if of else rising)

    def positive(self, tree):
        """Whether this is a sum of positive numbers times numbers and diagonals that are >= 0."""
        terms = [(number(x), [[f, "1"] if isinstance(f, str) else f[1:] for f in factors])
                 for _, x, *factors in tree[1:]]  # fmt: skip
        signs = [n in self.known or number(p) % 2 == 0 for _, powers in terms for n, p in powers]
        return tree[0] == "+" and all(x > 0 for x, _ in terms) and all(signs)

    def grid(self, rows):
        return np.block([[self.value(tree, self.point) for tree in row] for row in rows])

    def diagonal(self, trees):
        places = range(len(trees))
        return self.grid([["*", trees[i], "I"] if i == j else ZERO for j in places] for i in places)

    def terms(self, terms, rows, columns):
        """L, D and R."""
        demand(0 < len(terms) < 99, "it has too many terms, or none", ValueError)
        return (
            self.grid([[term["column"].get(s, ZERO) for term in terms] for s in rows]),
            self.diagonal([term["slope"] for term in terms]),
            self.grid([[term["row"].get(s, ZERO) for s in columns] for term in terms]),
        )

    def check_equations(self, forcing):
        """F(s) = L φ(R s) + f."""
        L, _, R = self.terms([*self.units.values()], self.equations, self.equations)
        states = RANDOM.integers(-LARGE, LARGE, (len(self.equations), N)).astype(object)
        maps = zip(self.units.values(), (R @ states.ravel()).reshape(-1, N), strict=True)
        φ = [self.value(unit["map"], self.free | {"·": x}) for unit, x in maps]
        rates = (L @ np.concatenate(φ)).reshape(-1, N)
        for (s, tree), rate in zip(self.equations.items(), rates, strict=True):
            f = self.value(forcing.get(s, "0"), self.free)
            F = self.value(tree, self.free | dict(zip(self.equations, states, strict=True)))
            demand(np.all(F == rate + f), f"the units are not the equation of {s}")

    def block(self, done, energy, states, decay, factors, change, M, groups):
        """What is proved about the diagonal block of J that belongs to some states."""
        every, size = (
            states + [s for s in self.equations if s not in done + states],
            len(states) * N,
        )
        demand(len({*states}) == len(states), "a state stands twice in a block", ValueError)
        Γ = self.diagonal([decay.get(s, "0") for s in every])
        l, d, r = self.terms([*self.units.values()], states, every)
        L, D, R = self.terms(factors, states, every)
        same = (l @ d @ r + Γ[:size] == L @ D @ R).all() and not R[:, size:].any()
        demand(same, f"the factors of {states} do not make up their part of the Jacobian")
        own = self.diagonal([decay.get(min(f["row"]), "0") for f in factors])
        demand((own @ R == R @ Γ).all(), "a unit reads states of different decay")
        T, M = self.diagonal([change.get(f"{v}", "1") for v, _ in enumerate(factors)]), self.grid(M)
        demand((T @ R[:, :size] @ L == M @ T).all(), "M is not R L")
        for v in map(int, change):
            plain = (part(M, [v], [v]) == M[N * v, N * v] * self.point["I"]).all()
            linear = factors[v]["slope"] == "I" and len(change) == 1
            demand(plain and linear, "no theorem has such a change of variables")
        gives, rest, positive = (
            ALL - {"imaginary" if decay else ""},
            {*range(len(factors))},
            [*decay.values()],
        )
        for group in groups:
            units, kind, C = group["units"], group["kind"], group["weights"]
            rest -= {*units}
            demand(not part(M, units, rest).any(), "M is not block triangular")
            demand(kind in GIVES, f"parts of the kind {kind:.40} are not checked")
            if not part(M, units, units).any():
                continue
            S = self.diagonal(C) @ part(M, units, units)
            demand(kind != "symmetric" or (S == S.T).all(), "C M is not symmetric")
            S = S if kind == "symmetric" else S + S.T
            if not energy:
                positive = positive + C + [["+", ["*", "1", factors[i]["slope"]]] for i in units]
            for weight, row in group["squares"]:
                positive, W = [*positive, weight], self.grid([row])
                S = S + W.T @ self.diagonal([weight]) @ W
            fit = kind != "antisymmetric" or not group["squares"]
            demand(fit and not S.any(), f"C M is not {kind}: its squares leave something")
            gives = gives & GIVES[kind]
        unknown = [tree for tree in positive if not self.positive(tree)]
        demand(not unknown, f"{unknown} are not known to be positive")
        demand(not rest, "a unit has no proof")
        return gives


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.loads(file.read(BYTES))
        verdict, energy, done, gives = data["verdict"], data["energy"], [], ALL
        for s, tree in data["equations"].items():
            print(f"{s}' = {json.dumps(tree, ensure_ascii=False)}")
        demand(data["units"], "the certificate claims nothing")
        checker = Checker(data)
        checker.check_equations(data["forcing"])
        if energy:
            whole = {*energy["states"]} == {*checker.equations} and not data["forcing"]
            demand(whole, "the energy is not that of all states, or a forcing does work")
            kept = "imaginary" in checker.block([], True, **energy)
            print("proved: the energy", "is conserved" if kept else "never grows")
        demand(verdict in ALL, "the certificate claims nothing of the spectrum")
        for block in data["blocks"]:
            gives = gives & checker.block(done, False, **block)
            done = done + block["states"]
        proved = {*done} == {*checker.equations} and verdict in gives
        demand(
            proved and ("constant weights", None) in checker.conditions,
            "the blocks do not prove it",
        )
        print(f"proved: the spectrum is {verdict}, provided {sorted(checker.conditions)}")
        return 0
    except Unproved as reason:
        print("not proved:", reason)
        return 1
    except Exception as error:
        print(f"no certificate: {type(error).__name__}: {error}"[:200])
        return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
