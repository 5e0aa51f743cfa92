"""Checks a certificate of odenet: `python verify.py certificate.json [spec.ode]`.

Imports nothing of odenet and can be copied alone. It takes the theorems of docs/certificates.md for
granted, and nothing that the certificate says: it compares the equations with s' = L φ(R s) at
random integer matrices and states, exactly, with random functions as activations, and multiplies
out the words of J = L D R, M = R L, C M and its squares. A formula is a name, a number or a list
[kind, part, …], and has a value in exact numbers and one in words.
Exit codes: 0 the verdict is proved, 1 it is not, 2 this is no certificate.
"""

import json
import re
import sys
from fractions import Fraction
from functools import reduce
from hashlib import sha256
from pathlib import Path
from random import SystemRandom

import numpy as np

SIZES, STEPS, BYTES, RANDOM = (2, 3, 5, 8), 1_000_000, 1_000_000, SystemRandom()
RISING = {"relu", "tanh", "sigmoid", "softplus", "elu", "hardtanh", "identity"}
RISING_FROM_ZERO = {"leaky_relu", "shrink"}  # where their constant is >= 0
ODD = {"tanh", "hardtanh", "sin", "shrink"}
OPERATORS, DIAGONALS = {"conv", "depthwise", "pointwise", "dense"}, {"diag", "gate", "slope"}
ALL = {"imaginary", "real", "stable"}
GIVES = {
    "antisymmetric": ALL - {"real"},
    "symmetric": ALL - {"imaginary"},
    "dissipative": {"stable"},
}


class Unproved(Exception):
    """The certificate does not prove what it says."""


def demand(holds, otherwise, error=Unproved):
    if not holds:
        raise error(otherwise)


class Words(dict):
    """{word: coefficient}. A word is a tuple: a set of (name, power) for the numbers in it, then
    letters (name, transposed) and diagonals; a diagonal is a set of (name, power) as well."""

    def __add__(self, other):
        total = dict(self)
        for word, x in (other or {}).items():
            total[word] = total.get(word, 0) + x
        return Words({word: x for word, x in total.items() if x})

    __radd__ = __add__

    def __mul__(self, other):
        Words.left -= len(self) * len(other)
        demand(Words.left > 0, "it takes too long to multiply out", ValueError)
        terms = [Words({join(v, w): x * y}) for v, x in self.items() for w, y in other.items()]
        return sum(terms, Words())

    def __pow__(self, p):
        ((word, x),) = self.items()
        raised = [frozenset((name, q * p) for name, q in part) for part in word]
        return Words({tuple(raised): {1: x}[x]})

    def transpose(self):
        turned = {w: [a if isinstance(a, frozenset) else (a[0], not a[1]) for a in w] for w in self}
        return Words({(a[0], *a[:0:-1]): self[w] for w, a in turned.items()})


def join(one, other):
    def merged(a, b):
        powers = [(n, dict(a).get(n, 0) + dict(b).get(n, 0)) for n in {**dict(a), **dict(b)}]
        return frozenset((n, p) for n, p in powers if p)

    (m, *one), (n, *other) = one, other
    if one and other and isinstance(one[-1], frozenset) and isinstance(other[0], frozenset):
        other[0] = merged(one.pop(), other[0])
    return (merged(m, n), *filter(None, one + other))


def constant(x):
    return Words() + {(frozenset(),): x}


def times(a, b):
    demand((np.ndim(a), np.ndim(b)) != (1, 2), "a field stands before an operator", ValueError)
    return a @ b if np.ndim(a) == 2 and np.ndim(b) else a * b


def power(base, p):
    p = p[(frozenset(),)] if isinstance(p, Words) else p
    demand(abs(p) * len(str(base)) < 20_000 and not np.ndim(base), "absurd power", ValueError)
    if isinstance(base, Words) or p.denominator == 1:
        return base**p
    return Fraction(abs(float(base)) ** float(p))  # any one function of both serves


def evaluate(tree, names, unit=Fraction, call=None):
    if isinstance(tree, str) and tree in names:
        return names[tree]
    if isinstance(tree, str):
        known = re.fullmatch("-?[0-9]{1,1300}(/[0-9]{1,1300})?", tree)
        demand(known, f"{tree:.40} has no value where it stands", ValueError)
        return unit(Fraction(tree))
    kind, *parts = tree
    values = [evaluate(part, names, unit, call) for part in parts[kind == "call" :]]
    match kind:
        case "+":
            return sum(values)
        case "*":
            return reduce(times, values)
        case "^":
            return power(*values)
        case "hadamard":
            return values[0] * values[1]
        case "T":
            return values[0].transpose()
        case "call":
            return call(parts[0], *values)
    raise ValueError(f"formulas of the kind {kind!r:.20} are unknown")


class Checker:
    def __init__(self, data):
        self.data, self.units, self.kind, self.table = data, data["units"], data["kinds"], {}
        self.kind |= {f"{unit}'": "slope" for unit in self.units}
        self.conditions = {(c["kind"], c.get("of")) for c in data["conditions"]}
        self.names, Words.left, no = {"I": constant(1)}, STEPS, frozenset()
        for name, kind in self.kind.items():
            one = frozenset({(name, Fraction(1))})
            word = (
                (no, one)
                if kind in DIAGONALS
                else (no, (name, False))
                if kind in OPERATORS
                else (one,)
            )
            self.names[name] = Words({word: Fraction(1)})
            if kind == "number":
                self.names[name] = constant(evaluate(data["values"][name], {}))
        self.factors = [
            self.factor({"slope": f"{k}'" if u["map"] != "x" else "I", **u})
            for k, u in self.units.items()
        ]

    def words(self, tree):
        found = evaluate(tree, self.names, constant)
        sets = [a for word in found for a in word if isinstance(a, frozenset)]
        roots = {name for a in sets for name, p in a if p.denominator > 1 and not self.signed(name)}
        demand(not roots, f"it takes roots of {roots}, whose signs are not known")
        return found

    def signed(self, name):
        slope = self.kind[name] == "slope"
        return (
            self.rise(self.units[name[:-1]]["map"]) == 1
            if slope
            else ("sign", name) in self.conditions
        )

    def positive(self, found):
        """Whether this is a sum of numbers and diagonals that are >= 0, not all of them zero."""
        sets = [a for word in found for a in word if isinstance(a, frozenset)]
        even = all(p % 2 == 0 or self.signed(name) for a in sets for name, p in a)
        return even and len(sets) == sum(map(len, found)) and min(found.values(), default=0) > 0

    def rise(self, tree):
        """1 where a unit's map is nondecreasing, -1 where it is nonincreasing, else 0."""
        if tree == "x":
            return 1
        kind, first, *constants, inner = tree
        if kind == "+":
            evaluate(first, self.point, call=self.call)  # has no value if there is an x in it
            return self.rise(inner)
        if kind == "*":
            factor = self.words(first)
            demand(all(len(word) == 1 for word in factor), "an operator stands inside a unit")
            return (self.positive(factor) - self.positive(constant(-1) * factor)) * self.rise(inner)
        alone = self.kind.get(first, "batch norm") == "batch norm" and kind == "call"
        demand(alone, f"{first} does not act on each value by itself")
        frozen = {("gain", first), ("frozen statistics", first)} <= self.conditions
        from_zero = first in RISING_FROM_ZERO and evaluate(constants[0], {}) >= 0
        return (frozen if first in self.kind else first in RISING or from_zero) * self.rise(inner)

    # --- the equations against the units ---

    def draw(self, n):
        def integers(*shape):
            drawn = [Fraction(RANDOM.randint(-99, 99)) for _ in range(n ** len(shape))]
            return np.array(drawn, dtype=object).reshape(shape)

        self.point = {"u": integers(n), "I": np.diag([Fraction(1)] * n)}
        for name, kind in self.kind.items():
            if kind in OPERATORS:
                self.point[name] = integers(n, n)
            elif kind == "scalar":
                self.point[name] = Fraction(RANDOM.randint(100, 9999), RANDOM.choice((-7, 7)))
            elif kind in ("diag", "bias"):
                self.point[name] = np.diag(integers(n)) if kind == "diag" else integers(n)
        values = {
            n: evaluate(x, self.point, call=self.call) for n, x in self.data["values"].items()
        }
        self.point |= {name: np.diag(x) if np.ndim(x) else x for name, x in values.items()}
        return [{s: integers(n) for s in self.data["equations"]} for _ in range(2)]

    def call(self, name, *values):
        """A random function; of each value by itself if it is an activation or a batch norm."""

        def at(i, t):
            if name in ODD and t <= 0:
                return -at(i, -t) if t else t
            where = (t, i if name in self.kind else 0, tuple(x) if together else ())
            return self.table.setdefault((name, *constants, *where), RANDOM.randint(-99, 99))

        *constants, x = values
        together, x = self.kind.get(name, "batch norm") != "batch norm", x + 0 * self.point["u"]
        return x if name == "identity" else np.array([at(i, t) for i, t in enumerate(x)])

    def rest(self, states):
        """F(s) - L φ(R s)."""
        point, data = self.point | states, self.data["equations"]
        rest = {s: evaluate(tree, point, call=self.call) for s, tree in data.items()}
        for unit in self.units.values():
            x = sum(evaluate(a, self.point) @ states[s] for s, a in unit["row"].items())
            x = evaluate(unit["map"], self.point | {"x": x}, call=self.call)
            for s, a in unit["column"].items():
                rest[s] = rest[s] - evaluate(a, self.point) @ x
        return np.array(list(rest.values()))

    def forced(self):
        """Whether the rates have terms outside the units, which must not depend on the states."""
        forced = False
        for n in SIZES:
            one, two = map(self.rest, self.draw(n))
            demand((one == two).all(), "the equations are not those of the units")
            forced |= bool(one.any())
        return forced

    # --- the proof ---

    def factor(self, of):
        """A term L D R of the Jacobian."""
        slope, *rows = self.words(of["slope"]), of["row"], of["column"]
        return slope, *({s: self.words(a) for s, a in row.items()} for row in rows)

    def entry(self, factors, i, j):
        return sum((c[i] * d * r[j] for d, r, c in factors if i in c and j in r), Words())

    def block(self, block, done=(), energy=False):
        """What is proved about a diagonal block of J."""
        states, factors = block["states"], list(map(self.factor, block["factors"]))
        decay = {s: self.words(a) for s, a in block["decay"].items()}
        demand(all(map(self.positive, decay.values())), "a decay is not known to be positive")
        for i in states:
            for j in self.data["equations"].keys() - done:
                own = decay.get(i, Words()) if i == j else Words()
                same = self.entry(self.factors, i, j) + own == self.entry(factors, i, j)
                demand(same, f"its factors do not give the derivative of {i}' by {j}")
        kinds = [{frozenset(decay.get(s, {}).items()) for s in r} for _, r, _ in factors]
        demand(all(len(kind) < 2 for kind in kinds), "a unit reads states of unequal decay")
        M, size = [[self.words(a) for a in row] for row in block["M"]], range(len(factors))
        T = [constant(1) for _ in size]
        if block["change"]:
            v = block["change"]["unit"]
            T[v] = self.words(block["change"]["by"])
            demand(factors[v][0] == constant(1), "variables are changed under an activation")
            demand(all(len(word) == 1 for word in M[v][v]), "M_vv is no number")
        for i in size:
            for j in size:
                row, column = factors[i][1], factors[j][2]
                product = sum((row[s] * column[s] for s in row if s in column), Words())
                demand(T[i] * product == M[i][j] * T[j], "M is not R L")
        gives, rest = ALL - ({"imaginary"} if decay else set()), set(size)
        for group in block["groups"]:
            rest -= set(group["units"])
            demand(not any(M[i][j] for i in group["units"] for j in rest), "M is not triangular")
            proved = self.group(group, M, factors, energy)
            gives &= proved if proved == ALL or not decay else proved - {"imaginary"}
        demand(not rest and (not energy or len(block["groups"]) == 1), "a unit is left out")
        return gives

    def group(self, group, M, factors, energy):
        """What C M and its squares prove about a diagonal block of M."""
        units, kind, C = group["units"], group["kind"], list(map(self.words, group["weights"]))
        demand(kind in GIVES, f"parts of the kind {kind!r:.40} are not checked")
        if not any(M[i][j] for i in units for j in units):
            return ALL
        squares = [
            (self.words(s["weight"]), list(map(self.words, s["row"]))) for s in group["squares"]
        ]
        for sign in (*(w for w, _ in squares), *(() if energy else C)):
            demand(self.positive(sign), "a weight is not known to be positive")
        for i in () if energy else units:
            for word in factors[i][0]:
                demand(self.positive({word: 1}), "an activation is not known to be nondecreasing")
        demand(kind != "antisymmetric" or not squares, "squares are left over")
        for a, i in enumerate(units):
            for b, j in enumerate(units):
                one, other = C[a] * M[i][j], (C[b] * M[j][i]).transpose()
                demand(kind != "symmetric" or one == other, "C M is not symmetric")
                left = one if kind == "symmetric" else one + other
                left = sum((w * row[a].transpose() * row[b] for w, row in squares), left)
                demand(not left, f"C M is not {kind}: its squares leave something")
        return GIVES[kind]


def verify(data):
    """The lines of a report; raises Unproved."""
    checker = Checker(data)
    forced, states, gives = checker.forced(), set(data["equations"]), set(ALL)
    yield from (
        f"{state}' = {json.dumps(tree, ensure_ascii=False)}"
        for state, tree in data["equations"].items()
    )
    if data["energy"]:
        found = checker.block(data["energy"], energy=True)
        kind = "imaginary" in found
        demand(not forced and set(data["energy"]["states"]) == states, "a forcing does work")
        yield f"proved: its energy {'is conserved' if kind else 'never grows'}"
    demand(data["verdict"] in ALL, "not proved: the certificate claims nothing of the spectrum")
    done = set()
    for block in data["blocks"]:
        gives &= checker.block(block, done)
        done |= set(block["states"])
    demand(done == states and data["verdict"] in gives, "not what its blocks give")
    demand(("constant weights", None) in checker.conditions, "")
    yield f"proved: spectrum {data['verdict']}"


def main(certificate, spec=None):
    try:
        text = Path(certificate).read_text("utf-8")
        demand(len(text) < BYTES, "it is too large", ValueError)
        for line in verify(json.loads(text)):
            print(line)
    except Unproved as reason:
        print(f"not proved: {reason}")
        return 1
    except Exception as error:
        print(f"no certificate: {type(error).__name__}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
