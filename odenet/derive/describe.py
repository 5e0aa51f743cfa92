"""A derivation as text, LaTeX and plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from odenet.derive.exact_numbers import absolute
from odenet.derive.text import SchemeNotation, notation
from odenet.model.typed.dialects import latex_prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odenet.derive.derivation import Derivation, Number
    from odenet.model.typed.scheme import Update


def summary(derivation: Derivation) -> list[str]:
    """The properties in a few sentences, for a docstring."""
    shown = notation(derivation.scheme)
    facts: list[str] = []
    why = why_not_undone(derivation)
    if why:
        facts.append(f"Not reversible: {why}.")
    words = [*([] if why else ["reversible"]), *_words(derivation)]
    words += [] if why else [_volume_words(derivation, shown)]
    if words:
        sentence = "; ".join(words)
        facts.append(f"{sentence[0].upper()}{sentence[1:]}.")
    if derivation.conditions and not why:
        facts.append(f"Needs {', '.join(conditions(derivation))}.")
    facts += [f"{note[0].upper()}{note[1:]}." for note in [derivation.accuracy.note] if note]
    return facts


def why_not_undone(derivation: Derivation, values: Mapping[str, Number] | None = None) -> str:
    """Why a step has no explicit inverse at the derivation's values; empty where it has one.

    Args:
        derivation: of a scheme.
        values: in place of the derivation's own.
    """
    if derivation.obstacle is not None:
        return derivation.obstacle.message
    if derivation.violated(values):
        return f"it has an inverse only where {' and '.join(conditions(derivation))}"
    return ""


def conditions(derivation: Derivation) -> list[str]:
    """`γ ≠ 0` and so on."""
    shown = notation(derivation.scheme)
    return [f"{shown.number(condition)} ≠ 0" for condition in derivation.conditions]


def _words(derivation: Derivation) -> list[str]:
    """`order 2`, `symmetric`."""
    words = [f"order {derivation.accuracy}"] if derivation.order is not None else []
    return [*words, "symmetric"] if derivation.symmetric else words


def _symmetric(derivation: Derivation) -> str:
    """Whether a step with -h undoes one with h; to which order, where not exactly."""
    if derivation.symmetric:
        return "yes"
    if not derivation.effectively_symmetric:
        return "no"
    digits = ", to the digits given" if derivation.accuracy.digits else ""
    return f"no; a step is undone by -h to order {derivation.symmetry_order}{digits}"


def _volume_words(derivation: Derivation, shown: SchemeNotation) -> str:
    if derivation.volume_preserving:
        return "volume preserving"
    factor = _volume(derivation, shown)
    per_value = f"${factor}$" if shown.dialect.has_fractions else f"{factor} per value and step"
    return f"volume times {per_value}"


def _volume(derivation: Derivation, shown: SchemeNotation) -> str:
    """By what a step multiplies volume."""
    if derivation.volume is not None:
        return shown.number(derivation.volume)
    scale = "" if derivation.scale == 1 else f"{shown.number(derivation.scale)} "
    inside = " + ".join(map(shown.show, derivation.exponents))
    mean = r"\exp(\textrm{mean of }" if shown.dialect.has_fractions else "exp(mean of"
    return f"{scale}{mean} {inside})"


def as_text(derivation: Derivation) -> str:
    """Step, inverse, proof and properties."""
    shown = notation(derivation.scheme)
    lets = [f"{shown.name(n)} = {shown.show(v)}" for n, v in derivation.scheme.lets]
    parts = ["forward", *_indented([*lets, *_equations(derivation.forward, shown)])]
    if why := why_not_undone(derivation):
        found = "not explicit" if derivation.inverse is None else "none here"
        parts += ["inverse", f"    {found}: {why}"]
    else:
        assert derivation.inverse is not None
        parts += ["inverse", *_indented(_equations(derivation.inverse, shown))]
        parts += ["proof that it is the inverse", *_indented(derivation.proof)]
    rows = properties(derivation)
    width = max(len(name) for name, _ in rows)
    return "\n".join([*parts, *(f"{name:<{width}}  {value}" for name, value in rows)])


def properties(derivation: Derivation) -> list[tuple[str, str]]:
    """Order, symmetry, volume and so on: the name of each property and what is known of it."""
    shown = notation(derivation.scheme)
    accuracy = derivation.accuracy
    note = f"; {accuracy.note}" if accuracy.note else ""
    rows = [("order", f"{accuracy}{note}")]
    rows.append(("symmetric", _symmetric(derivation)))
    if accuracy.parasitic:
        rows.append(("parasitic", accuracy.parasitic))
    if why_not_undone(derivation):
        return rows
    kept = "preserved" if derivation.volume_preserving else ""
    rows.append(("volume", kept or f"times {_volume(derivation, shown)} per value and step"))
    if derivation.conditions:
        rows.append(("condition", ", ".join(conditions(derivation))))
    lost = _lost(derivation, shown)
    return [*rows, *([("destroys", lost)] if lost else [])]


def _lost(derivation: Derivation, shown: SchemeNotation) -> str:
    """The information that shears with a scale other than ±1 destroy."""
    sizes = [absolute(shear.scale) for shear in derivation.shears or ()]
    texts = [shown.number(size) for size in sizes if not size.is_number]
    bits = derivation.bits()
    if not texts:
        return f"{bits:.3g} bits per value and step" if bits else ""
    total = " + ".join(f"log2(1/{text})" for text in texts)
    small = " and ".join(f"{text} < 1" for text in texts)
    usable = bits is not None and bits < math.inf and not derivation.varying
    where = "here" if derivation.values else "at the default"
    default = f" ({bits:.3g} {where})" if usable else ""
    return f"{total} bits per value and step where {small}{default}"


def _equations(updates: Iterable[Update], shown: SchemeNotation) -> list[str]:
    """Lines with their equals signs below one another."""
    pairs = [(shown.show(update.target), shown.show(update.value)) for update in updates]
    width = max(len(target) for target, _ in pairs)
    return [f"{target:<{width}} = {value}" for target, value in pairs]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def as_latex(derivation: Derivation) -> str:
    """Step and inverse as aligned equations, then the properties in words."""
    shown = notation(derivation.scheme, latex=True)
    if why := why_not_undone(derivation):
        return f"No explicit inverse: {latex_prose(why)}."
    assert derivation.inverse is not None
    lines = " \\\\\n".join(
        f"{shown.show(update.target)} &= {shown.show(update.value)}"
        for update in derivation.inverse
    )
    words = [*_words(derivation), _volume_words(derivation, shown)]
    words += [f"${shown.number(condition)} \\neq 0$" for condition in derivation.conditions]
    return f"The inverse step:\n\\begin{{align*}}\n{lines}\n\\end{{align*}}\n{', '.join(words)}."


def as_json(derivation: Derivation) -> dict[str, Any]:
    """The derivation as plain values."""
    shown = notation(derivation.scheme)
    why = why_not_undone(derivation)
    inverse = None if why else derivation.inverse
    exponents = [shown.show(node) for node in derivation.exponents]
    return {
        "forward": [shown.equation(update) for update in derivation.forward],
        "inverse": None if inverse is None else [shown.equation(update) for update in inverse],
        "proof": None if why else list(derivation.proof),
        "reversible": not why,
        "obstacle": why or None,
        "order": derivation.order,
        "order_reason": derivation.accuracy.reason or None,
        "order_note": derivation.accuracy.note or None,
        "order_digits": derivation.accuracy.digits or None,
        "solves": derivation.accuracy.equations or None,
        "consistency_factors": {
            shown.name(name): shown.number(factor)
            for name, factor in derivation.accuracy.factors.items()
        },
        "parasitic": derivation.accuracy.parasitic or None,
        "symmetric": derivation.symmetric,
        "symmetry_order": derivation.symmetry_order,
        "volume": None if why or derivation.volume is None else shown.number(derivation.volume),
        "conditions": conditions(derivation),
        **({"log_volume": exponents} if exponents else {}),
    }
