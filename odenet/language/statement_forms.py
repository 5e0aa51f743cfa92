"""How statements are written here, and what they are called elsewhere."""

from odenet.diagnostics import suggest

# How a statement is written, by the word it begins with.
FORMS = {
    "ODENET": "odenet 1",
    "USE": 'use "mine.ode"',
    "STATE": "state Y, Z",
    "SHARED": "shared param K : conv(3)",
    "PARAM": "param K : conv(3)",
    "MAP": "map f = bn -> relu -> conv(3)",
    "LET": "let a = 0.5",
    "OUTPUT": "output concat(Y, Z)",
    "DISCRETISE": "discretise verlet(h = 0.1)",
    "DISCRETIZE": "discretise verlet(h = 0.1)",
    "REQUIRE": "require reversible",
    "NET": "net = input(1, 8, 8) -> conv(3, 16) -> flow(6) -> mean -> dense(10)",
    "TRAIN": "train { epochs = 30 }",
    "SCHEME": "scheme NAME { … }",
}

# What statements are called elsewhere.
ALSO = dict.fromkeys((word.lower() for word in FORMS), "") | {
    "state": "states variable variables unknown unknowns",
    "param": "params parameter parameters weight weights",
    "let": "var const val set define",
    "map": "def fn func function module",
    "use": "import include from",
    "discretise": "solve solver integrate integrator method discretization",
    "require": "assert ensure prove claim",
    "net": "network model",
    "train": "training fit recipe",
    "output": "return outputs",
}
STATEMENTS = (
    "a statement is an equation such as `Y' = …`, or begins with state, param, map, let, "
    "discretise, require, output, net, train, scheme or use"
)


def word_meant(first: str) -> str:
    """What a statement of another language would be here; else what is spelled like it."""
    return word_of(first) or suggest(first, [w.lower() for w in FORMS]) or STATEMENTS


def word_of(first: str) -> str:
    """The word that begins such a statement here, or how it is written; empty for another."""
    plain = first.lower()
    for begins, names in ALSO.items():
        if plain in (begins, *names.split()):
            return f"write `{begins if plain == begins else FORMS[begins.upper()]}`"
    return ""
