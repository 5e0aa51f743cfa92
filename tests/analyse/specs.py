"""Specs as text: random ones, and a function that compiles a text to its typed model."""

import re
from random import Random

from odenet.compiler import loads
from odenet.model.typed.program import Model

ACTIVATIONS = ["relu", "tanh", "sigmoid", "softplus", "elu", "leaky_relu(0.2)", "identity"]
ACTIVATIONS += ["hardtanh", "shrink(0.3)"]
NONMONOTONE = ["gelu", "silu", "sin", "leaky_relu(-0.5)"]
STATES = ("Y", "Z", "X", "V")


def load_model(text: str, scheme: str = "euler") -> Model:
    """The typed model of a spec; a `discretise` line is added where there is none."""
    if "discretise" not in text:
        text += f"\ndiscretise {scheme}({'γ = 0.9' if scheme == 'momentum' else 'h = 0.1'})\n"
    return loads(text, name="<text>").model


class RandomSpec:
    """A random spec that meets the conditions of the stability theorems, or just misses them.

    It has one to four states of first or second order, chains of activations with numbers, biases
    and norms between them, products of feature maps, learned numbers of any sign, and the input u.
    About a third are spoiled: some of their signs and adjoints are wrong. K1, K2 and W1 are
    operators, d1 a diagonal, b1 and b2 biases, g1 and g2 learned numbers, N1 and N2 norms.

    Args:
        rnd: source of all choices.
    """

    def __init__(self, rnd: Random):
        self.rnd = rnd
        self.operator_type = rnd.choice(["dense", "dense", "conv(3)", "conv(2)", "pointwise"])
        self.states = STATES[: rnd.choice([1, 1, 1, 2, 2, 3, 4])]
        self.is_spoiled = rnd.random() < 0.35
        families = [
            self.port_hamiltonian, self.port_hamiltonian, self.single_layers, self.second_order,
            self.cascade, self.arbitrary, self.similar_chains, self.coupled_oscillators,
        ]  # fmt: skip
        self.equations = rnd.choice(families)()

    def chance(self, probability: float) -> bool:
        return self.rnd.random() < probability

    def text(self) -> str:
        """The whole file."""
        used = set(re.findall(r"[A-Za-z]\w*", " ".join(self.equations)))
        operators = sorted(used & {"K1", "K2", "W1"})
        lines = [f"state {', '.join(self.states)}"]
        lines += [f"param {', '.join(operators)} : {self.operator_type}"] if operators else []
        types = {
            "d1": "diag", "b1": "bias", "b2": "bias", "g1": "scalar", "g2": "scalar",
            "N1": "norm(batch)", "N2": "norm(batch)",
        }  # fmt: skip
        lines += [f"param {name} : {types[name]}" for name in types if name in used]
        constants = {"a": "0.5", "e": "1/3", "n": "-0.7"}
        lines += [f"let {name} = {value}" for name, value in constants.items() if name in used]
        initial_values = [f"{state}(0) = u" for state in self.states] if "u" in used else []
        return "\n".join([*lines, *self.equations, *initial_values, "discretise euler(h = 0.1)"])

    # parts of formulas; a word is a product of operators, such as `K1^T W1`

    def word(self, longest: int = 2) -> str:
        """A product of at most `longest` operators."""
        factors = []
        for _ in range(self.rnd.randint(1, longest)):
            factor = "d1" if self.chance(0.1) else self.rnd.choice(["K1", "K2", "W1"])
            factors.append(factor + ("^T" if self.chance(0.3) else ""))
        return " ".join(factors)

    def adjoint(self, word: str) -> str:
        """The adjoint of a word, or sometimes the word itself in a spoiled spec."""
        if self.is_spoiled and self.chance(0.15):
            return word
        factors = [f[:-2] if f.endswith("^T") else f"{f}^T" for f in word.split()]
        return " ".join(reversed(factors))

    def number(self) -> str:
        """A factor and a space, or nothing."""
        choices = ["", "", "2 ", "1/2 ", "3 "] + [f"{n} " for n in "ae"]
        return self.rnd.choice(choices + (["g1 ", "g2 ", "n "] if self.chance(0.3) else []))

    def sign(self, wanted: int) -> str:
        """The wanted sign, or sometimes the other one in a spoiled spec."""
        flipped = self.is_spoiled and self.chance(0.15)
        return "+" if (wanted > 0) != flipped else "-"

    def activation(self) -> str:
        return self.rnd.choice(NONMONOTONE if self.chance(0.06) else ACTIVATIONS)

    def offset(self) -> str:
        return self.rnd.choice(["b1", "b2", "b1", "b2", "u", "tanh(b1)", "K1 u"])

    def unit(self, argument: str) -> str:
        """A chain of activations applied to an argument, perhaps times a gate or another chain."""
        if self.chance(0.35):
            argument = f"{argument} {self.rnd.choice('+-')} {self.offset()}"
        if self.chance(0.1):
            argument = f"N1({argument})"
        unit = f"{self.activation()}({argument})"
        while self.chance(0.2):
            unit = self.nested(unit)
        if self.chance(0.06):
            gate = self.rnd.choice(["b1", "sigmoid(b2)", "softplus(K1 u)", "g1 b1", "relu(u)"])
            return f"({gate} * {unit})"
        if self.chance(0.03):
            other = unit if self.chance(0.5) else f"{self.activation()}({argument})"
            return f"({unit} * {other})"
        return unit

    def nested(self, inner: str) -> str:
        """One more activation applied to a number, bias or norm applied to a function."""
        between = self.rnd.choice(
            ["{}", "2 {}", "-{}", "a {}", "{} + b1", "b2 - {}", "N2({})", "-1/2 {} + b2", "n {}"]
        )
        return f"{self.activation()}({between.format(inner)})"

    # families of systems

    def port_hamiltonian(self) -> list[str]:
        """s' = (J - S) Σ c_k R_kᵀ φ_k(R_k s + b_k) with J antisymmetric and S symmetric, S ≥ 0."""
        gradients: dict[str, list[str]] = {state: [] for state in self.states}
        for _ in range(self.rnd.choice([1, 1, 2, 3])):
            chosen = [s for s in self.states if self.chance(0.6)] or [self.states[0]]
            words = {state: self.word() for state in chosen}
            number = self.number()
            unit = self.unit(" + ".join(f"{word} {state}" for state, word in words.items()))
            if self.chance(0.2) and len(chosen) == 1:  # a linear unit
                unit = f"({' + '.join(f'{word} {state}' for state, word in words.items())})"
            for state, word in words.items():
                gradients[state].append(f"{number}{self.adjoint(word)} {unit}")
        rates: dict[str, list[str]] = {state: [] for state in self.states}
        for i, state in enumerate(self.states):
            self.add_own_gradient(rates[state], gradients[state])
            for other in self.states[i + 1 :]:
                self.couple(rates, gradients, state, other)
        return [f"{state}' = {join_terms(terms)}" for state, terms in rates.items()]

    def add_own_gradient(self, rate: list[str], gradient: list[str]) -> None:
        """Add what a diagonal block of J - S makes of the gradient by the same state."""
        total = f"({' + '.join(gradient)})" if gradient else ""
        kind = self.rnd.choice(["no", "number", "square", "skew", "skew", "no"])
        if not total or kind == "no":
            return
        if kind == "number":
            rate.append(f"{self.sign(-1)} {self.number()}{total}")
        elif kind == "square":
            word = self.word()
            rate.append(f"{self.sign(-1)} {self.adjoint(word)} {word} {total}")
        else:
            word = self.word()
            rate.append(f"+ ({word} {self.sign(-1)} {self.adjoint(word)}) {total}")

    def couple(self, rates: dict, gradients: dict, first: str, second: str) -> None:
        """Add what the two blocks of J that couple two states make of their gradients."""
        number, word = self.number(), self.word(1) if self.chance(0.5) else ""
        if self.chance(0.2):
            return
        adjoint = self.adjoint(word) if word else ""
        if gradients[second]:
            rates[first].append(f"{self.sign(1)} {number}{word} ({' + '.join(gradients[second])})")
        if gradients[first]:
            rates[second].append(
                f"{self.sign(-1)} {number}{adjoint} ({' + '.join(gradients[first])})"
            )

    def single_layers(self) -> list[str]:
        """Single layers: Y' = σ((K - Kᵀ - γ I) Y), Y' = σ(K Z), Z' = -σ(Kᵀ Y)."""
        if len(self.states) == 1:
            word = self.word()
            inside = f"{word} {self.sign(-1)} {self.adjoint(word)}"
            if self.chance(0.5):
                inside += f" {self.sign(-1)} {self.number() or '1 '}I"
            if self.chance(0.3):
                inside += f" {self.sign(-1)} {self.adjoint(word)} {word}"
            decay = f"{self.sign(-1)} {self.number()}Y" if self.chance(0.3) else ""
            return [f"Y' = {self.number()}{self.unit(f'({inside}) Y')} {decay}"]
        self.states = self.states[:2]
        word = self.word()
        first_factor, second_factor = self.number(), self.number()
        first = f"{first_factor}{self.unit(f'{word} Z')}"
        second = f"{second_factor}{self.unit(f'{self.adjoint(word)} Y')}"
        if self.chance(0.3):
            first = f"{self.number()}{word} Z"
        damping = f"- {self.number()}Z" if self.chance(0.2) else ""
        return [f"Y' = {first}", f"Z' = {self.sign(-1)} {second} {damping}"]

    def second_order(self) -> list[str]:
        """Y'' = -Kᵀσ(K Y) with damping."""
        self.states = self.states[:1]
        word = self.word()
        velocity_term = f" + {self.number()}{word} Y'" if self.chance(0.15) else ""
        unit = self.unit(f"{word} Y{velocity_term}") if self.chance(0.8) else f"{word} Y"
        rate = f"{self.sign(-1)} {self.number()}{self.adjoint(word)} {unit}"
        damping, velocity = self.word(1), " Y'"
        choices = {
            "number": f"{self.sign(-1)} {self.number()}Y'",
            "square": f"{self.sign(-1)} {self.adjoint(damping)} {damping} Y'",
            "gyroscopic": f"+ ({damping} {self.sign(-1)} {self.adjoint(damping)}) Y'",
            "unit": f"{self.sign(-1)} {self.adjoint(damping)} {self.unit(damping + velocity)}",
            "spring": f"{self.sign(-1)} {self.number()}Y",
            "no": "",
        }
        return [f"Y'' = {rate} {self.rnd.choice(list(choices.values()))}"]

    def similar_chains(self) -> list[str]:
        """Differences of two chains with the same numbers and biases, perhaps in another order.

        If the order is the same, they cancel.
        """
        self.states = self.states[:2]
        word, last = self.word(), self.states[-1]
        first, second = self.two_chains(f"{word} {last}")
        number = self.rnd.choice(["", "", "1/2 ", "2 "])
        rate = f"{self.adjoint(word)} {first} - {number}{self.adjoint(word)} {second}"
        if len(self.states) == 1:
            return [f"Y' = {rate}"]
        back = first.replace(f" {last}", " Y") if self.chance(0.5) else second.replace(last, "Y")
        return [f"Y' = {rate}", f"Z' = {self.sign(-1)} {self.adjoint(word)} {back}"]

    def two_chains(self, argument: str) -> tuple[str, str]:
        """Two chains of activations; the numbers or biases of the second may be in another order."""
        names = [self.activation() for _ in range(self.rnd.choice([2, 2, 3]))]
        numbers = [self.rnd.choice(["", "2 ", "-", "1/2 "]) for _ in names]
        offsets = [self.rnd.choice(["", "", " + b1", " + b2"]) for _ in names]

        def build() -> str:
            text = argument
            for name, number, offset in zip(names, numbers, offsets, strict=True):
                text = f"{name}({number}{text}{offset})"
            return text

        first = build()
        for values in (numbers, offsets):
            if self.chance(0.5):
                self.rnd.shuffle(values)
        return first, build()

    def coupled_oscillators(self) -> list[str]:
        """Second-order equations of several states, coupled through one potential."""
        self.states = self.states[:2]
        words = {state: self.word() for state in self.states}
        unit = self.unit(" + ".join(f"{word} {state}" for state, word in words.items()))
        rates = []
        for state, word in words.items():
            damping = f"{self.sign(-1)} {self.number()}{state}'" if self.chance(0.4) else ""
            rate = f"{self.sign(-1)} {self.adjoint(word)} {unit} {damping}"
            rates.append(f"{state}'' = {join_terms([rate])}")
        return rates

    def cascade(self) -> list[str]:
        """One system drives another that does not act back, unless the spec is spoiled."""
        self.states = self.states[:1]
        (first,) = self.single_layers()
        word = self.word()
        decay = f"{self.sign(-1)} {self.number()}Z" if self.chance(0.4) else ""
        response = f"{self.sign(-1)} {self.adjoint(word)} {self.unit(f'{word} Z')}"
        drive = f"{self.word()} {self.unit('Y')}" if self.chance(0.7) else f"{self.word()} Y"
        if self.is_spoiled:
            first += f" + {self.unit('Z')}"
        self.states = STATES[:2]
        return [first, f"Z' = {drive} {response} {decay}"]

    def arbitrary(self) -> list[str]:
        """Sums of terms without any structure."""
        rates = []
        for state in self.states:
            terms = []
            for _ in range(self.rnd.randint(1, 2)):
                other = self.rnd.choice(self.states)
                inner = f"{self.word()} {other}" if self.chance(0.8) else other
                unit = self.unit(inner) if self.chance(0.8) else inner
                outer = f"{self.word()} " if self.chance(0.6) else ""
                terms.append(f"{self.rnd.choice('+-')} {self.number()}{outer}{unit}")
            rates.append(f"{state}' = {join_terms(terms)}")
        return rates


def join_terms(terms: list[str]) -> str:
    """A sum of terms that begin with their signs, as one formula."""
    text = " ".join(terms) or "0"
    return text[2:] if text.startswith("+ ") else text
