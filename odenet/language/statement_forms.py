"""An example of every kind of statement, and the words that other languages begin it with."""

from odenet.diagnostics import suggest

# An example of each statement, by the token type of its first word.
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

# The first word of a statement -> words of other languages for it.
_SYNONYMS = dict.fromkeys((word.lower() for word in FORMS), "") | {
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
STATEMENT_HELP = (
    "a statement is an equation such as `Y' = …`, or begins with state, param, map, let, "
    "discretise, require, output, net, train, scheme or use"
)


def help_for_word(first: str) -> str:
    """Help for an unknown first word: the statement meant, a similar word, or all statements."""
    return help_for_synonym(first) or suggest(first, [w.lower() for w in FORMS]) or STATEMENT_HELP


def help_for_synonym(first: str) -> str:
    """Help for a first word that is a synonym of a keyword, or in capitals; empty for others."""
    lowered = first.lower()
    for keyword, names in _SYNONYMS.items():
        if lowered in (keyword, *names.split()):
            return f"write `{keyword if lowered == keyword else FORMS[keyword.upper()]}`"
    return ""
