"""Specs as text, written out or drawn at random."""

import re
from random import Random

from odenet.compiler import loads
from odenet.model.typed.program import Model

ACTIVATIONS = ["relu", "tanh", "sigmoid", "softplus", "elu", "leaky_relu(0.2)", "identity"]
ACTIVATIONS += ["hardtanh", "shrink(0.3)"]
WIGGLY = ["gelu", "silu", "sin", "leaky_relu(-0.5)"]
STATES = ("Y", "Z", "X", "V")


def model(text: str, scheme: str = "euler") -> Model:
    """The typed program of a text; a discretisation is added where there is none."""
    if "discretise" not in text:
        text += f"\ndiscretise {scheme}({'γ = 0.9' if scheme == 'momentum' else 'h = 0.1'})\n"
    return loads(text, name="<text>").model


class Drawn:
    """A random spec: dynamics near the theorems' conditions, some of them spoilt.

    Chains of activations with numbers, biases and norms between, products of fields, learned
    numbers and gains of either sign, `u`, one to four states of first or second order.

    Args:
        rnd: gives the choices.
    """

    def __init__(self, rnd: Random):
        self.rnd = rnd
        self.type = rnd.choice(["dense", "dense", "conv(3)", "conv(2)", "pointwise"])
        self.states = STATES[: rnd.choice([1, 1, 1, 2, 2, 3, 4])]
        self.spoil = rnd.random() < 0.35
        families = [
            self.ports, self.ports, self.layers, self.second, self.cascade, self.free, self.twins,
            self.oscillators,
        ]  # fmt: skip
        self.equations = rnd.choice(families)()

    def chance(self, share: float) -> bool:
        return self.rnd.random() < share

    def text(self) -> str:
        """The whole file."""
        used = set(re.findall(r"[A-Za-z]\w*", " ".join(self.equations)))
        letters = sorted(used & {"K1", "K2", "W1"})
        lines = [f"state {', '.join(self.states)}"]
        lines += [f"param {', '.join(letters)} : {self.type}"] if letters else []
        types = {
            "d1": "diag", "b1": "bias", "b2": "bias", "g1": "scalar", "g2": "scalar",
            "N1": "norm(batch)", "N2": "norm(batch)",
        }  # fmt: skip
        lines += [f"param {name} : {types[name]}" for name in types if name in used]
        lets = {"a": "0.5", "e": "1/3", "n": "-0.7"}
        lines += [f"let {name} = {value}" for name, value in lets.items() if name in used]
        starts = [f"{state}(0) = u" for state in self.states] if "u" in used else []
        return "\n".join([*lines, *self.equations, *starts, "discretise euler(h = 0.1)"])

    # pieces

    def word(self, longest: int = 2) -> str:
        letters = []
        for _ in range(self.rnd.randint(1, longest)):
            letter = "d1" if self.chance(0.1) else self.rnd.choice(["K1", "K2", "W1"])
            letters.append(letter + ("^T" if self.chance(0.3) else ""))
        return " ".join(letters)

    def adjoint(self, word: str) -> str:
        if self.spoil and self.chance(0.15):
            return word
        letters = [part[:-2] if part.endswith("^T") else f"{part}^T" for part in word.split()]
        return " ".join(reversed(letters))

    def number(self) -> str:
        choices = ["", "", "2 ", "1/2 ", "3 "] + [f"{n} " for n in "ae"]
        return self.rnd.choice(choices + (["g1 ", "g2 ", "n "] if self.chance(0.3) else []))

    def sign(self, wanted: int) -> str:
        flipped = self.spoil and self.chance(0.15)
        return "+" if (wanted > 0) != flipped else "-"

    def activation(self) -> str:
        return self.rnd.choice(WIGGLY if self.chance(0.06) else ACTIVATIONS)

    def offset(self) -> str:
        return self.rnd.choice(["b1", "b2", "b1", "b2", "u", "tanh(b1)", "K1 u"])

    def unit(self, argument: str) -> str:
        if self.chance(0.35):
            argument = f"{argument} {self.rnd.choice('+-')} {self.offset()}"
        if self.chance(0.1):
            argument = f"N1({argument})"
        unit = f"{self.activation()}({argument})"
        while self.chance(0.2):
            unit = self.around(unit)
        if self.chance(0.06):
            gate = self.rnd.choice(["b1", "sigmoid(b2)", "softplus(K1 u)", "g1 b1", "relu(u)"])
            return f"({gate} * {unit})"
        if self.chance(0.03):
            other = unit if self.chance(0.5) else f"{self.activation()}({argument})"
            return f"({unit} * {other})"
        return unit

    def around(self, inner: str) -> str:
        """One more activation around a function, with something between."""
        between = self.rnd.choice(
            ["{}", "2 {}", "-{}", "a {}", "{} + b1", "b2 - {}", "N2({})", "-1/2 {} + b2", "n {}"]
        )
        return f"{self.activation()}({between.format(inner)})"

    # families of systems

    def ports(self) -> list[str]:
        """s' = (J - R) Σ c_k R_kᵀ φ_k(R_k s + b_k)."""
        gradients: dict[str, list[str]] = {state: [] for state in self.states}
        for _ in range(self.rnd.choice([1, 1, 2, 3])):
            chosen = [s for s in self.states if self.chance(0.6)] or [self.states[0]]
            words = {state: self.word() for state in chosen}
            number = self.number()
            unit = self.unit(" + ".join(f"{word} {state}" for state, word in words.items()))
            if self.chance(0.2) and len(chosen) == 1:
                unit = f"({' + '.join(f'{word} {state}' for state, word in words.items())})"
            for state, word in words.items():
                gradients[state].append(f"{number}{self.adjoint(word)} {unit}")
        rates: dict[str, list[str]] = {state: [] for state in self.states}
        for i, one in enumerate(self.states):
            self.dissipate(rates[one], gradients[one])
            for other in self.states[i + 1 :]:
                self.couple(rates, gradients, one, other)
        return [f"{state}' = {joined(terms)}" for state, terms in rates.items()]

    def dissipate(self, rate: list[str], gradient: list[str]) -> None:
        sum_ = f"({' + '.join(gradient)})" if gradient else ""
        kind = self.rnd.choice(["no", "number", "square", "skew", "skew", "no"])
        if not sum_ or kind == "no":
            return
        if kind == "number":
            rate.append(f"{self.sign(-1)} {self.number()}{sum_}")
        elif kind == "square":
            word = self.word()
            rate.append(f"{self.sign(-1)} {self.adjoint(word)} {word} {sum_}")
        else:
            word = self.word()
            rate.append(f"+ ({word} {self.sign(-1)} {self.adjoint(word)}) {sum_}")

    def couple(self, rates: dict, gradients: dict, one: str, other: str) -> None:
        number, word = self.number(), self.word(1) if self.chance(0.5) else ""
        if self.chance(0.2):
            return
        back = self.adjoint(word) if word else ""
        if gradients[other]:
            rates[one].append(f"{self.sign(1)} {number}{word} ({' + '.join(gradients[other])})")
        if gradients[one]:
            rates[other].append(f"{self.sign(-1)} {number}{back} ({' + '.join(gradients[one])})")

    def layers(self) -> list[str]:
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
        there, back = self.number(), self.number()
        first = f"{there}{self.unit(f'{word} Z')}"
        second = f"{back}{self.unit(f'{self.adjoint(word)} Y')}"
        if self.chance(0.3):
            first = f"{self.number()}{word} Z"
        damping = f"- {self.number()}Z" if self.chance(0.2) else ""
        return [f"Y' = {first}", f"Z' = {self.sign(-1)} {second} {damping}"]

    def second(self) -> list[str]:
        """Y'' = -Kᵀσ(K Y) with damping."""
        self.states = self.states[:1]
        word = self.word()
        speed = f" + {self.number()}{word} Y'" if self.chance(0.15) else ""
        unit = self.unit(f"{word} Y{speed}") if self.chance(0.8) else f"{word} Y"
        rate = f"{self.sign(-1)} {self.number()}{self.adjoint(word)} {unit}"
        damping, speed_ = self.word(1), " Y'"
        choices = {
            "number": f"{self.sign(-1)} {self.number()}Y'",
            "square": f"{self.sign(-1)} {self.adjoint(damping)} {damping} Y'",
            "turn": f"+ ({damping} {self.sign(-1)} {self.adjoint(damping)}) Y'",
            "unit": f"{self.sign(-1)} {self.adjoint(damping)} {self.unit(damping + speed_)}",
            "spring": f"{self.sign(-1)} {self.number()}Y",
            "no": "",
        }
        return [f"Y'' = {rate} {self.rnd.choice(list(choices.values()))}"]

    def twins(self) -> list[str]:
        """Chains of the same pieces, in the same places or not, that would cancel if they were."""
        self.states = self.states[:2]
        word, other = self.word(), self.states[-1]
        one, two = self.chain(f"{word} {other}")
        number = self.rnd.choice(["", "", "1/2 ", "2 "])
        rate = f"{self.adjoint(word)} {one} - {number}{self.adjoint(word)} {two}"
        if len(self.states) == 1:
            return [f"Y' = {rate}"]
        back = one.replace(f" {other}", " Y") if self.chance(0.5) else two.replace(other, "Y")
        return [f"Y' = {rate}", f"Z' = {self.sign(-1)} {self.adjoint(word)} {back}"]

    def chain(self, argument: str) -> tuple[str, str]:
        """Two chains of the same two or three activations, with the same numbers and biases."""
        names = [self.activation() for _ in range(self.rnd.choice([2, 2, 3]))]
        pieces = [self.rnd.choice(["", "2 ", "-", "1/2 "]) for _ in names]
        ends = [self.rnd.choice(["", "", " + b1", " + b2"]) for _ in names]

        def build() -> str:
            built = argument
            for name, piece, end in zip(names, pieces, ends, strict=True):
                built = f"{name}({piece}{built}{end})"
            return built

        one = build()
        for kind in (pieces, ends):
            if self.chance(0.5):
                self.rnd.shuffle(kind)
        return one, build()

    def oscillators(self) -> list[str]:
        """Second-order equations of several states, coupled through one potential."""
        self.states = self.states[:2]
        words = {state: self.word() for state in self.states}
        unit = self.unit(" + ".join(f"{word} {state}" for state, word in words.items()))
        rates = []
        for state, word in words.items():
            damping = f"{self.sign(-1)} {self.number()}{state}'" if self.chance(0.4) else ""
            rate = f"{self.sign(-1)} {self.adjoint(word)} {unit} {damping}"
            rates.append(f"{state}'' = {joined([rate])}")
        return rates

    def cascade(self) -> list[str]:
        """One system drives another that does not act back, unless it is spoilt."""
        self.states = self.states[:1]
        (first,) = self.layers()
        word = self.word()
        decay = f"{self.sign(-1)} {self.number()}Z" if self.chance(0.4) else ""
        own = f"{self.sign(-1)} {self.adjoint(word)} {self.unit(f'{word} Z')}"
        drive = f"{self.word()} {self.unit('Y')}" if self.chance(0.7) else f"{self.word()} Y"
        if self.spoil:
            first += f" + {self.unit('Z')}"
        self.states = STATES[:2]
        return [first, f"Z' = {drive} {own} {decay}"]

    def free(self) -> list[str]:
        """Anything."""
        rates = []
        for state in self.states:
            terms = []
            for _ in range(self.rnd.randint(1, 2)):
                other = self.rnd.choice(self.states)
                inner = f"{self.word()} {other}" if self.chance(0.8) else other
                unit = self.unit(inner) if self.chance(0.8) else inner
                outer = f"{self.word()} " if self.chance(0.6) else ""
                terms.append(f"{self.rnd.choice('+-')} {self.number()}{outer}{unit}")
            rates.append(f"{state}' = {joined(terms)}")
        return rates


def joined(terms: list[str]) -> str:
    """Terms with leading signs as one formula."""
    text = " ".join(terms) or "0"
    return text[2:] if text.startswith("+ ") else text
