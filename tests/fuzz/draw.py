"""Random specs: most of them compile. What the texts say is drawn from a seed alone."""

import re
from random import Random

from tests.analyse.specs import RandomSpec
from tests.language.spec_texts import VALID_TEXTS

TOKEN = re.compile(r"\w+|[ \t]+|.", re.DOTALL)
CHARACTERS = "abKYZσ0129.+-*/^'\"()[]{}=:,\n#->ᵀ_ ²é\t\r\0𝐘₁;\\\u0301\ufeff\u202e"
WORDS = sorted({token for text in VALID_TEXTS for token in TOKEN.findall(text)})
SHORT = [text for text in VALID_TEXTS if len(text) < 300]
NUMBERS = ["0", "1", "2", "0.1", "1/3", "1e-30", "1e30", "-1", "10^9", "1/0", "2^(1/3)", "h", "n"]
LIBRARY = {
    1: ["euler(h = 0.1)", "midpoint(h = 0.1)", "momentum(γ = 0.9)", "rk4(h = 0.1)", "euler(T = 1)",
        "heun(h = 0.1)", "verlet(h = 0.2)", "bosh3(h = 0.1)", "coupled_euler(h = 1)",
        "coupled_rk4(h = 0.1)", "damped_midpoint(h = 0.1)", "dopri5(h = 0.1)", "yoshida4(h = 0.1)",
        "dopri5(rtol = 1e-3, atol = 1e-6)", "reversible_heun(h = 0.1)", "midpoint(h = 0.1) exact",
        "asynchronous_leapfrog(h = 0.1)", "stormer_verlet(h = 0.1)"],
    2: ["leapfrog(h = 0.1)", "verlet(h = 0.1)", "euler(h = 0.1)", "midpoint(h = 0.05)",
        "damped_leapfrog(h = 0.1)", "damped_verlet(h = 0.1)", "rk4(h = 0.1)"],
}  # fmt: skip
CLAIMS = ["reversible", "imaginary", "real", "stable", "order(2)", "order(1)", "symmetric",
          "volume_preserving", "exact"]  # fmt: skip
LAYERS = ["bn", "relu", "tanh", "gn(2)", "dropout(0.1)", "layernorm", "mlp(2)", "attention(2)",
          "residual(bn -> relu -> conv(3))", "conv(3)", "leaky_relu(0.1)", "unit(2, 8, stride = 2)",
          "residual(conv(1, 6), shortcut = conv, after = tanh)"]  # fmt: skip
KEYS = ["batch = 8", "epochs = 2", "optimizer = sgd(lr = 0.1)", "optimizer = adam(betas = [0.9, 0])",
        "schedule = steps(at = [1, 2])", "schedule = cosine(to = 1e-3, warmup = 1)", "ema = 0.9",
        "augment = [pad_crop(1), flip, cutout(3)]", "data = digits",
        "levels = [1]", "smooth = 1e-4", "seed = 7", "holdout = 0.1"]  # fmt: skip


def text(seed: int) -> str:
    """The spec of a seed: drawn along the grammar, or a valid one damaged."""
    rnd = Random(seed)
    kind = rnd.random()
    if kind < 0.6:
        return _whole(rnd)
    return _damaged(rnd, _whole(rnd) if kind < 0.8 else rnd.choice(VALID_TEXTS))


def damaged(seed: int) -> str:
    """A valid text with some of its characters or words changed; mostly a short one, to be quick."""
    rnd = Random(seed)
    return _damaged(rnd, rnd.choice(SHORT if rnd.random() < 0.9 else VALID_TEXTS))


def data(seed: int) -> bytes:
    """The bytes of a file: those of a spec with a few of them changed, or any at all."""
    rnd = Random(seed)
    if rnd.random() < 0.2:
        return rnd.randbytes(rnd.randint(0, 200))
    found = bytearray(rnd.choice(VALID_TEXTS).encode())
    for _ in range(rnd.randint(1, 4)):
        place = rnd.randrange(len(found))
        found[place : place + rnd.choice([0, 1, 1, 30])] = rnd.randbytes(rnd.randint(0, 3))
    return bytes(found)


def _whole(rnd: Random) -> str:
    """Equations, a scheme, claims, a net and a recipe, in any order."""
    dynamics = "\n".join(
        line for line in RandomSpec(rnd).text().split("\n") if not line.startswith("discretise")
    )
    order = 2 if "''" in dynamics else 1
    blocks = [dynamics]
    if rnd.random() < 0.9:
        line, scheme = _scheme(rnd, order) if rnd.random() < 0.5 else (
            f"discretise {rnd.choice(LIBRARY[order])}", "")  # fmt: skip
        blocks += [line, scheme]
    blocks += [f"require {claim}" for claim in rnd.sample(CLAIMS, rnd.choice([0, 0, 1, 3]))]
    if rnd.random() < 0.5:
        blocks.append(_net(rnd))
    if rnd.random() < 0.3:
        keys = rnd.sample(KEYS, rnd.randint(0, 4))
        blocks.append("train {\n" + "\n".join(f"  {key}" for key in keys) + "\n}")
    if rnd.random() < 0.3:
        rnd.shuffle(blocks)
    return "\n".join(filter(None, blocks)) + "\n"


def _net(rnd: Random) -> str:
    width = rnd.choice([12, 12, 24, 4])
    first = rnd.choice(["input(1, 8, 8)", "input(3, 6, 6)", "input(3, 16)"])
    layers = [f"conv(3, {width})"]
    for _ in range(rnd.randint(1, 3)):
        layers.append(f"flow({rnd.randint(1, 40)})")
        layers += rnd.sample(LAYERS, rnd.randint(0, 2))
    return f"net = {first} -> " + " -> ".join([*layers, "mean", "dense(10)"])


def _scheme(rnd: Random, order: int) -> tuple[str, str]:
    """A line that discretises, and the scheme it names: stages, history and constants at random."""
    stages, history = rnd.randint(0, 4), rnd.choice([0, 0, 0, 1, 2, 3])
    constants = [f"a{i}" for i in range(rnd.choice([0, 0, 1, 2, 4]))]

    def number() -> str:
        choices = ["1", "2", "1/2", "1/3", "0.3", "-1", "0", "2^(1/3)", *constants * 2]
        found = rnd.choice(choices)
        return found if rnd.random() < 0.8 else f"({found} + {rnd.choice(choices)})"

    values = ["Y[n]", *(f"Y[n-{i}]" for i in range(1, history + 1))]
    lines = []
    for i in range(stages):
        inner = " + ".join([rnd.choice(values), *(
            f"({number()}) h k{j}" for j in range(i) if rnd.random() < 0.7)])  # fmt: skip
        lines.append(f"    k{i} = F({inner})")
    found = [f"({number()}) {value}" for value in values]
    if rnd.random() < 0.7:
        found = ["Y[n]", *(f for f in found[1:] if rnd.random() < 0.5)]
    step = "h^2" if order == 2 else "h"
    found += [f"({number()}) {step} k{i}" for i in range(stages) if rnd.random() < 0.9]
    if not stages or rnd.random() < 0.3:
        found.append(f"({number()}) {step} F({rnd.choice(values)})")
    lines.append(f"    Y[n+1] = {' + '.join(found)}")
    starts = [f"    start Y[-{i}] = {rnd.choice(['0', 'Y[0]'])}" for i in range(1, history + 1)]
    pattern = "Y''" if order == 2 else "Y'"
    head = f"scheme mine({', '.join(constants)}) {{" if constants else "scheme mine {"
    given = "".join(f", {c} = {rnd.choice(['0.5', '2', '-1/3', '0'])}" for c in constants)
    block = "\n".join([head, f"    for {pattern} = F(Y)", *starts, *lines, "}"])
    return f"discretise mine(h = 0.1{given})", block


def _damaged(rnd: Random, whole: str) -> str:
    for _ in range(rnd.randint(1, 3)):
        pieces = TOKEN.findall(whole) if rnd.random() < 0.6 else list(whole)
        if not pieces:
            return whole
        i, j = sorted(rnd.randrange(len(pieces)) for _ in range(2))
        new = rnd.choice(rnd.choice([WORDS, NUMBERS, CHARACTERS]))
        match rnd.choice(["delete", "insert", "replace", "swap", "cut", "repeat"]):
            case "delete":
                del pieces[i]
            case "insert":
                pieces.insert(i, new)
            case "replace":
                pieces[i] = new
            case "swap":
                pieces[i], pieces[j] = pieces[j], pieces[i]
            case "cut":
                del pieces[i : min(j, i + 40)]
            case "repeat":
                pieces[i:i] = pieces[i : min(j, i + 10)] * rnd.choice([1, 2, 30])
        whole = "".join(pieces)
    return whole
