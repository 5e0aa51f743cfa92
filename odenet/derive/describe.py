"""A derivation as text, LaTeX and plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from odenet.counted import counted
from odenet.derive.exact_numbers import absolute
from odenet.derive.scheme_notation import SchemeNotation, scheme_notation
from odenet.model.typed.dialects import latex_prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odenet.derive.derivation import Derivation, Number
    from odenet.model.typed.scheme import Update


def summary(derivation: Derivation) -> list[str]:
    """The properties in a few sentences, for a docstring."""
    notation = scheme_notation(derivation.scheme)
    facts: list[str] = []
    why = why_no_inverse(derivation)
    if why:
        facts.append(f"Not reversible: {why}.")
    words = [*([] if why else ["reversible"]), *_order_and_symmetry(derivation)]
    words += [] if why else [_volume_phrase(derivation, notation)]
    if words:
        sentence = "; ".join(words)
        facts.append(f"{sentence[0].upper()}{sentence[1:]}.")
    if derivation.conditions and not why:
        facts.append(f"Needs {', '.join(conditions(derivation))}.")
    facts += [f"{note[0].upper()}{note[1:]}." for note in [derivation.accuracy.note] if note]
    return facts


def why_no_inverse(derivation: Derivation, values: Mapping[str, Number] | None = None) -> str:
    """Why a step has no explicit inverse at the derivation's values; empty if it has one.

    Args:
        derivation: the derivation of a scheme.
        values: values of the constants and of h, in place of those of the derivation.
    """
    if derivation.obstacle is not None:
        return derivation.obstacle.message
    if derivation.violated_conditions(values):
        return f"it has an inverse only where {' and '.join(conditions(derivation))}"
    return ""


def conditions(derivation: Derivation) -> list[str]:
    """The conditions for the inverse to exist, such as `γ ≠ 0`."""
    notation = scheme_notation(derivation.scheme)
    return [f"{notation.number(condition)} ≠ 0" for condition in derivation.conditions]


def _order_and_symmetry(derivation: Derivation) -> list[str]:
    """`order 2`, `symmetric`."""
    words = [f"order {derivation.accuracy}"] if derivation.order is not None else []
    return [*words, "symmetric"] if derivation.symmetric else words


def _symmetry_text(derivation: Derivation) -> str:
    """Whether a step with -h undoes one with h, and if only up to an order, up to which."""
    if derivation.symmetric:
        return "yes"
    if not derivation.effectively_symmetric:
        return "no"
    digits = ", to the digits given" if derivation.accuracy.digits_note else ""
    return f"no; a step is undone by -h to order {derivation.symmetry_order}{digits}"


def _volume_phrase(derivation: Derivation, notation: SchemeNotation) -> str:
    if derivation.volume_preserving:
        return "volume preserving"
    factor = _volume_text(derivation, notation)
    per_value = f"${factor}$" if notation.dialect.has_fractions else f"{factor} per value and step"
    return f"volume times {per_value}"


def _volume_text(derivation: Derivation, notation: SchemeNotation) -> str:
    """The factor by which a step changes volume, per value of the state."""
    if derivation.volume is not None:
        return notation.number(derivation.volume)
    factor = derivation.constant_volume_factor
    scale = "" if factor == 1 else f"{notation.number(factor)} "
    inside = " + ".join(map(notation.show, derivation.volume_exponents))
    mean = r"\exp(\textrm{mean of }" if notation.dialect.has_fractions else "exp(mean of"
    return f"{scale}{mean} {inside})"


def as_text(derivation: Derivation) -> str:
    """Step, inverse, proof and properties."""
    notation = scheme_notation(derivation.scheme)
    lets = [f"{notation.name(n)} = {notation.show(v)}" for n, v in derivation.scheme.lets]
    parts = ["forward", *_indented([*lets, *_equations(derivation.forward, notation)])]
    if why := why_no_inverse(derivation):
        found = "not explicit" if derivation.inverse is None else "none here"
        parts += ["inverse", f"    {found}: {why}"]
    else:
        assert derivation.inverse is not None
        parts += ["inverse", *_indented(_equations(derivation.inverse, notation))]
        parts += ["proof that it is the inverse", *_indented(derivation.proof)]
    rows = properties(derivation)
    width = max(len(name) for name, _ in rows)
    return "\n".join([*parts, *(f"{name:<{width}}  {value}" for name, value in rows)])


def properties(derivation: Derivation) -> list[tuple[str, str]]:
    """Order, symmetry, volume and so on: the name of each property and what is known of it."""
    notation = scheme_notation(derivation.scheme)
    accuracy = derivation.accuracy
    note = f"; {accuracy.note}" if accuracy.note else ""
    rows = [("order", f"{accuracy}{note}")]
    rows.append(("symmetric", _symmetry_text(derivation)))
    if accuracy.parasitic:
        rows.append(("parasitic", accuracy.parasitic))
    if why_no_inverse(derivation):
        return rows
    change = f"times {_volume_text(derivation, notation)} per value and step"
    rows.append(("volume", "preserved" if derivation.volume_preserving else change))
    if derivation.conditions:
        rows.append(("condition", ", ".join(conditions(derivation))))
    loss = _information_loss(derivation, notation)
    return [*rows, *([("destroys", loss)] if loss else [])]


def _information_loss(derivation: Derivation, notation: SchemeNotation) -> str:
    """How many bits shears with a scale |α| < 1 destroy, as a sentence; empty if none."""
    sizes = [absolute(shear.scale) for shear in derivation.shears or ()]
    texts = [notation.number(size) for size in sizes if not size.is_number]
    bits = derivation.bits_lost()
    if not texts:
        return f"{counted(bits, 'bit')} per value and step" if bits else ""
    total = " + ".join(f"log2(1/{text})" for text in texts)
    below_one = " and ".join(f"{text} < 1" for text in texts)
    usable = bits is not None and bits < math.inf and not derivation.varying
    where = "here" if derivation.values else "at the default"
    default = f" ({bits:.3g} {where})" if usable else ""
    return f"{total} bits per value and step where {below_one}{default}"


def _equations(updates: Iterable[Update], notation: SchemeNotation) -> list[str]:
    """Lines with their equals signs below one another."""
    pairs = [(notation.show(update.target), notation.show(update.value)) for update in updates]
    width = max(len(target) for target, _ in pairs)
    return [f"{target:<{width}} = {value}" for target, value in pairs]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def as_latex(derivation: Derivation) -> str:
    """Step and inverse as aligned equations, then the properties in words."""
    notation = scheme_notation(derivation.scheme, latex=True)
    if why := why_no_inverse(derivation):
        return f"No explicit inverse: {latex_prose(why)}."
    assert derivation.inverse is not None
    lines = " \\\\\n".join(
        f"{notation.show(update.target)} &= {notation.show(update.value)}"
        for update in derivation.inverse
    )
    words = [*_order_and_symmetry(derivation), _volume_phrase(derivation, notation)]
    words += [f"${notation.number(condition)} \\neq 0$" for condition in derivation.conditions]
    return f"The inverse step:\n\\begin{{align*}}\n{lines}\n\\end{{align*}}\n{', '.join(words)}."


def as_json(derivation: Derivation) -> dict[str, Any]:
    """The derivation as plain values."""
    notation = scheme_notation(derivation.scheme)
    why = why_no_inverse(derivation)
    inverse = None if why else derivation.inverse
    exponents = [notation.show(node) for node in derivation.volume_exponents]
    return {
        "forward": [notation.equation(update) for update in derivation.forward],
        "inverse": None if inverse is None else [notation.equation(update) for update in inverse],
        "proof": None if why else list(derivation.proof),
        "reversible": not why,
        "obstacle": why or None,
        "order": derivation.order,
        "order_reason": derivation.accuracy.reason or None,
        "order_note": derivation.accuracy.note or None,
        "order_digits": derivation.accuracy.digits_note or None,
        "solves": derivation.accuracy.solved_equations or None,
        "consistency_factors": {
            notation.name(name): notation.number(factor)
            for name, factor in derivation.accuracy.consistency_factors.items()
        },
        "parasitic": derivation.accuracy.parasitic or None,
        "symmetric": derivation.symmetric,
        "symmetry_order": derivation.symmetry_order,
        "volume": None if why or derivation.volume is None else notation.number(derivation.volume),
        "conditions": conditions(derivation),
        **({"log_volume": exponents} if exponents else {}),
    }
