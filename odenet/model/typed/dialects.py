"""How the parts of a formula are written in the two dialects: the `.ode` language, and LaTeX."""

import re
from collections.abc import Mapping, Sequence

from odenet.language.names import GREEK, canonical
from odenet.model.expressions import expr
from odenet.model.tables.activations import ACTIVATIONS

# Precedences of a formula, from the loosest to the tightest.
SUM, QUOTIENT, PRODUCT, POWER, ATOM = range(5)


class OdeDialect:
    """The notation of `.ode` files.

    Args:
        spellings: canonical name -> how the author wrote it.
    """

    identity, transpose, product_sign = "I", "^T", "*"
    has_fractions = False  # whether a quotient is a numerator over a denominator

    def __init__(self, spellings: Mapping[str, str] | None = None):
        self._spellings = spellings or {}

    def name(self, name: str, index: str = "") -> str:
        """A name, with the index of the step that it is taken at."""
        return self._spellings.get(name, name) + (f"[{index}]" if index else "")

    def derivative(self, name: str, order: int) -> str:
        """A time derivative."""
        return expr.with_primes(self.name(name), order)

    def activation(self, name: str) -> str:
        """The name of an activation."""
        return name

    def with_constants(self, activation: str, constants: Sequence[str]) -> str:
        """An activation with its constants."""
        return f"{activation}({', '.join(constants)})" if constants else activation

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """A function applied to arguments."""
        return f"{function}({', '.join(arguments)})"

    def brackets(self, inside: str) -> str:
        """A formula in brackets."""
        return f"({inside})"

    def number(self, node: expr.Number) -> tuple[str, int]:
        """A number and its precedence."""
        return node.text, SUM if node.value < 0 else QUOTIENT if "/" in node.text else ATOM

    def juxtaposed(self, left: str, right: str) -> str:
        """A product by juxtaposition; with `*` before a digit, since numbers cannot be adjacent."""
        return f"{left} * {right}" if right[:1].isdigit() else f"{left} {right}"

    def quotient(self, numerator: str, denominator: str) -> tuple[str, int]:
        """A quotient and its precedence."""
        return f"{numerator}/{denominator}", QUOTIENT

    def power(self, base: str, exponent: str) -> str:
        """A base with its exponent."""
        return f"{base}^{exponent}"

    def root(self, base: str) -> str:
        """A square root."""
        return f"√{base}"

    def word(self, word: str) -> str:
        """A word of the language, such as `exp`."""
        return word


class Latex:
    """LaTeX with amsmath; every command it uses exists there."""

    identity, transpose, product_sign = "I", r"^{\top}", r"\odot"
    has_fractions = True  # so that fractions, exponents and roots need no brackets inside

    def name(self, name: str, index: str = "") -> str:
        """A name: Greek letters as commands; digits, the part after `_` and the step as indices."""
        letters, digits, rest = re.findall(r"^([^\d_]*)(\d*)(.*)", name)[0]
        parts = [part if part.isdigit() else _latex_word(part) for part in rest.split("_") if part]
        shown = ",".join(part for part in [digits, *parts, index] if part)
        return _latex_word(letters) + (f"_{{{shown}}}" if shown else "")

    def derivative(self, name: str, order: int) -> str:
        """A time derivative."""
        dots = {0: "{}", 1: r"\dot{{{}}}", 2: r"\ddot{{{}}}"}
        return dots[order].format(self.name(name))

    def activation(self, name: str) -> str:
        """The symbol of an activation."""
        return ACTIVATIONS[name].latex or rf"\mathrm{{{name.replace('_', '-')}}}"

    def with_constants(self, activation: str, constants: Sequence[str]) -> str:
        """An activation with its constants."""
        return f"{activation}_{{{', '.join(constants)}}}" if constants else activation

    def call(self, function: str, arguments: Sequence[str]) -> str:
        """A function applied to arguments."""
        return rf"{function}\left({', '.join(arguments)}\right)"

    def brackets(self, inside: str) -> str:
        """A formula in brackets."""
        return rf"\left({inside}\right)"

    def number(self, node: expr.Number) -> tuple[str, int]:
        """A number and its precedence."""
        value = node.value
        if value.denominator > 1 and "." not in node.text:
            sign = "-" if value < 0 else ""
            text = rf"{sign}\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"
        else:
            text = node.text
        return text, SUM if value < 0 else ATOM

    def juxtaposed(self, left: str, right: str) -> str:
        """A product by juxtaposition, with a dot before digits."""
        return rf"{left} \cdot {right}" if right[:1].isdigit() else rf"{left}\,{right}"

    def quotient(self, numerator: str, denominator: str) -> tuple[str, int]:
        """A fraction and its precedence."""
        return rf"\frac{{{numerator}}}{{{denominator}}}", ATOM

    def power(self, base: str, exponent: str) -> str:
        """A base with its exponent."""
        return f"{base}^{{{exponent}}}"

    def root(self, base: str) -> str:
        """A square root."""
        return rf"\sqrt{{{base}}}"

    def word(self, word: str) -> str:
        """A word of the language, upright."""
        return rf"\mathrm{{{word}}}"


def _latex_word(letters: str) -> str:
    """Letters as LaTeX: a Greek letter, a single one, or an upright word."""
    if letters in GREEK.values():
        return "o" if letters == "omicron" else f"\\{letters}"
    if letters.lower() in GREEK.values() and letters == letters.capitalize():
        # capitals that look like Latin ones have no command in LaTeX
        return f"\\{letters}" if letters in _GREEK_CAPITALS else rf"\mathrm{{{_LATIN[letters]}}}"
    return letters if len(letters) == 1 else rf"\mathrm{{{letters}}}"


_GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split()
_LATIN = {
    "Alpha": "A", "Beta": "B", "Epsilon": "E", "Zeta": "Z", "Eta": "H", "Iota": "I", "Kappa": "K",
    "Mu": "M", "Nu": "N", "Omicron": "O", "Rho": "P", "Tau": "T", "Chi": "X",
}  # fmt: skip


# A name in a text with mathematics. `\w` includes ᵀ, ½, ² and ³, which are signs here.
_NAME = r"[^\W\d_ᵀ½²³][^\Wᵀ½²³]*"
_SIGNS = {
    "ᵀ": r"^{\top}", "½": r"\tfrac{1}{2}", "²": "^{2}", "³": "^{3}", "√": r"\surd ",
    "≥": r"\ge ", "≤": r"\le ", "≠": r"\ne ", "·": r"\cdot ", "′": "'",
}  # fmt: skip


def latex_math(text: str) -> str:
    """Mathematics in Unicode, as proofs and messages have it, as LaTeX for math mode."""
    text = re.sub(_NAME, lambda match: Latex().name(canonical(match[0])), text)
    return "".join(_SIGNS.get(char, char) for char in text)


def latex_prose(text: str) -> str:
    """A sentence as LaTeX in text mode; Greek letters and mathematical signs in math mode."""
    return "".join(_latex_character(char) for char in text)


def _latex_character(char: str) -> str:
    if char in "&%$#_{}":
        return f"\\{char}"
    if char in "^~\\":
        return {"^": r"\^{}", "~": r"\~{}", "\\": r"\textbackslash{}"}[char]
    if canonical(char) != char or char in _SIGNS:
        return rf"\({latex_math(char).strip()}\)"
    return char
