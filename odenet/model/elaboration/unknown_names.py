"""Hints for a name in a formula that nothing declares: what its author may have meant."""

from collections.abc import Iterable

from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.synonyms import help_for_synonym


def hint_for_formula(spelling: str, declared: Iterable[str]) -> str:
    """What to write instead of a name that is known from other libraries; empty for other names.

    Args:
        spelling: the unknown name.
        declared: the names that the file declares.
    """
    hint = help_for_synonym("name", spelling, [*declared, "u", "t", "I"]) or help_for_synonym(
        "activation", spelling, ACTIVATIONS
    )
    if hint:
        return hint
    if type_name := _own_name("type of parameter", spelling, PARAMETERS):
        usage = "N(Y)" if type_name.startswith("norm") else "K Y"
        row = PARAMETERS.get(type_name)
        size = "(3)" if row is not None and "k" in row.arguments else ""  # k: the kernel's size
        # the parameter is the first letter of the usage
        return f"declare it, as in `param {usage[0]} : {type_name}{size}`, and write `{usage}`"
    if layer := _own_name("layer", spelling, LAYERS):
        return f"a layer belongs in a map: `map f = {layer}`, and `f(Y)`"
    return ""


def transpose_candidates(spelling: str) -> tuple[str, ...]:
    """The names whose transpose may be meant by a name such as `K1T`."""
    suffixes = ("_transpose", "transpose", "_T", "_t", "T", "t", "tr")
    return tuple(spelling.removesuffix(suffix) for suffix in suffixes if spelling.endswith(suffix))


def _own_name(kind: str, spelling: str, known_names: Iterable[str]) -> str:
    """The language's own name for a thing of a kind, such as a layer; empty if it has none."""
    known_names = list(known_names)
    hint = spelling if spelling in known_names else help_for_synonym(kind, spelling, known_names)
    return hint.removeprefix("write `").removesuffix("`") if "`" in hint else hint
