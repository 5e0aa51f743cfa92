"""What is meant by a name in a formula that nothing declares."""

from collections.abc import Iterable

from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.synonyms import help_for_synonym


def in_formula(spelling: str, declared: Iterable[str]) -> str:
    """What to write for a name that other libraries have; the empty string for any other."""
    found = help_for_synonym("name", spelling, [*declared, "u", "t", "I"]) or help_for_synonym(
        "activation", spelling, ACTIVATIONS
    )
    if found:
        return found
    if kind := _of("type of parameter", spelling, PARAMETERS):
        applied = "N(Y)" if kind.startswith("norm") else "K Y"
        name = applied[0]
        kind += "(3)" if kind in PARAMETERS and "k" in PARAMETERS[kind].arguments else ""
        return f"declare it, as in `param {name} : {kind}`, and write `{applied}`"
    if layer := _of("layer", spelling, LAYERS):
        return f"a layer belongs in a map: `map f = {layer}`, and `f(Y)`"
    return ""


def untransposed(spelling: str) -> tuple[str, ...]:
    """The names whose transpose a name such as `K1T` may be meant for."""
    ends = ("_transpose", "transpose", "_T", "_t", "T", "t", "tr")
    return tuple(spelling.removesuffix(end) for end in ends if spelling.endswith(end))


def _of(kind: str, spelling: str, known: Iterable[str]) -> str:
    """The name that something of a kind has here."""
    known = list(known)
    found = spelling if spelling in known else help_for_synonym(kind, spelling, known)
    return found.removeprefix("write `").removesuffix("`") if "`" in found else found
