"""Random inputs of the fuzzer, each determined by its seed: specs (most compile), damaged texts, files."""

import re
from random import Random

from tests.analyse.specs import RandomSpec
from tests.language.spec_texts import VALID_TEXTS

TOKEN = re.compile(r"\w+|[ \t]+|.", re.DOTALL)
CHARACTERS = "abKYZσ0129.+-*/^'\"()[]{}=:,\n#->ᵀ_ ²é\t\r\0𝐘₁;\\\u0301\ufeff\u202e"
WORDS = sorted({token for text in VALID_TEXTS for token in TOKEN.findall(text)})
SHORT_TEXTS = [text for text in VALID_TEXTS if len(text) < 300]
NUMBERS = ["0", "1", "2", "0.1", "1/3", "1e-30", "1e30", "-1", "10^9", "1/0", "2^(1/3)", "h", "n"]
DISCRETISATIONS = {  # by the order of the equations
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
RECIPE_ENTRIES = ["batch = 8", "epochs = 2", "optimizer = sgd(lr = 0.1)", "optimizer = adam(betas = [0.9, 0])",
        "schedule = steps(at = [1, 2])", "schedule = cosine(to = 1e-3, warmup = 1)", "ema = 0.9",
        "augment = [pad_crop(1), flip, cutout(3)]", "data = digits",
        "levels = [1]", "smooth = 1e-4", "seed = 7", "holdout = 0.1"]  # fmt: skip


def spec_text(seed: int) -> str:
    """The spec of a seed: a random one (60 %), or a random or valid one that is damaged."""
    rnd = Random(seed)
    drawn = rnd.random()
    if drawn < 0.6:
        return _random_spec(rnd)
    return _damage(rnd, _random_spec(rnd) if drawn < 0.8 else rnd.choice(VALID_TEXTS))


def damaged_text(seed: int) -> str:
    """A valid text with some of its characters or words changed; mostly a short one, to be quick."""
    rnd = Random(seed)
    return _damage(rnd, rnd.choice(SHORT_TEXTS if rnd.random() < 0.9 else VALID_TEXTS))


def file_bytes(seed: int) -> bytes:
    """The bytes of a file: those of a spec with a few changed, or random ones."""
    rnd = Random(seed)
    if rnd.random() < 0.2:
        return rnd.randbytes(rnd.randint(0, 200))
    content = bytearray(rnd.choice(VALID_TEXTS).encode())
    for _ in range(rnd.randint(1, 4)):
        start = rnd.randrange(len(content))
        content[start : start + rnd.choice([0, 1, 1, 30])] = rnd.randbytes(rnd.randint(0, 3))
    return bytes(content)


def _random_spec(rnd: Random) -> str:
    """Random equations with a scheme, claims, a net and a recipe, in any order."""
    dynamics = "\n".join(
        line for line in RandomSpec(rnd).text().split("\n") if not line.startswith("discretise")
    )
    order = 2 if "''" in dynamics else 1
    blocks = [dynamics]
    if rnd.random() < 0.9:
        line, scheme = _scheme(rnd, order) if rnd.random() < 0.5 else (
            f"discretise {rnd.choice(DISCRETISATIONS[order])}", "")  # fmt: skip
        blocks += [line, scheme]
    blocks += [f"require {claim}" for claim in rnd.sample(CLAIMS, rnd.choice([0, 0, 1, 3]))]
    if rnd.random() < 0.5:
        blocks.append(_net(rnd))
    if rnd.random() < 0.3:
        entries = rnd.sample(RECIPE_ENTRIES, rnd.randint(0, 4))
        blocks.append("train {\n" + "\n".join(f"  {entry}" for entry in entries) + "\n}")
    if rnd.random() < 0.3:
        rnd.shuffle(blocks)
    return "\n".join(filter(None, blocks)) + "\n"


def _net(rnd: Random) -> str:
    """A random `net` line."""
    width = rnd.choice([12, 12, 24, 4])
    input_layer = rnd.choice(["input(1, 8, 8)", "input(3, 6, 6)", "input(3, 16)"])
    layers = [f"conv(3, {width})"]
    for _ in range(rnd.randint(1, 3)):
        layers.append(f"flow({rnd.randint(1, 40)})")
        layers += rnd.sample(LAYERS, rnd.randint(0, 2))
    return f"net = {input_layer} -> " + " -> ".join([*layers, "mean", "dense(10)"])


def _scheme(rnd: Random, order: int) -> tuple[str, str]:
    """A `discretise` line and the random scheme that it names, with stages, history and constants.

    Args:
        rnd: the source of random numbers.
        order: the order of the equations.
    """
    # numbers of stages k0, k1, … and of stored values Y[n-1], Y[n-2], …
    stages, history = rnd.randint(0, 4), rnd.choice([0, 0, 0, 1, 2, 3])
    constants = [f"a{i}" for i in range(rnd.choice([0, 0, 1, 2, 4]))]

    def number() -> str:
        """A coefficient: a number or a constant of the scheme, or a sum of two of them."""
        choices = ["1", "2", "1/2", "1/3", "0.3", "-1", "0", "2^(1/3)", *constants * 2]
        single = rnd.choice(choices)
        return single if rnd.random() < 0.8 else f"({single} + {rnd.choice(choices)})"

    values = ["Y[n]", *(f"Y[n-{i}]" for i in range(1, history + 1))]
    lines = []
    for i in range(stages):
        argument = " + ".join([rnd.choice(values), *(
            f"({number()}) h k{j}" for j in range(i) if rnd.random() < 0.7)])  # fmt: skip
        lines.append(f"    k{i} = F({argument})")
    terms = [f"({number()}) {value}" for value in values]
    if rnd.random() < 0.7:
        terms = ["Y[n]", *(term for term in terms[1:] if rnd.random() < 0.5)]
    step = "h^2" if order == 2 else "h"
    terms += [f"({number()}) {step} k{i}" for i in range(stages) if rnd.random() < 0.9]
    if not stages or rnd.random() < 0.3:
        terms.append(f"({number()}) {step} F({rnd.choice(values)})")
    lines.append(f"    Y[n+1] = {' + '.join(terms)}")
    starts = [f"    start Y[-{i}] = {rnd.choice(['0', 'Y[0]'])}" for i in range(1, history + 1)]
    pattern = "Y''" if order == 2 else "Y'"
    head = f"scheme mine({', '.join(constants)}) {{" if constants else "scheme mine {"
    values_of_constants = "".join(
        f", {c} = {rnd.choice(['0.5', '2', '-1/3', '0'])}" for c in constants
    )
    block = "\n".join([head, f"    for {pattern} = F(Y)", *starts, *lines, "}"])
    return f"discretise mine(h = 0.1{values_of_constants})", block


def _damage(rnd: Random, text: str) -> str:
    """The text with one to three random edits of words or characters."""
    for _ in range(rnd.randint(1, 3)):
        parts = TOKEN.findall(text) if rnd.random() < 0.6 else list(text)
        if not parts:
            return text
        i, j = sorted(rnd.randrange(len(parts)) for _ in range(2))
        replacement = rnd.choice(rnd.choice([WORDS, NUMBERS, CHARACTERS]))
        match rnd.choice(["delete", "insert", "replace", "swap", "cut", "repeat"]):
            case "delete":
                del parts[i]
            case "insert":
                parts.insert(i, replacement)
            case "replace":
                parts[i] = replacement
            case "swap":
                parts[i], parts[j] = parts[j], parts[i]
            case "cut":
                del parts[i : min(j, i + 40)]
            case "repeat":
                parts[i:i] = parts[i : min(j, i + 10)] * rnd.choice([1, 2, 30])
        text = "".join(parts)
    return text
