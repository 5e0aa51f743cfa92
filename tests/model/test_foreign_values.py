"""An argument that is given a value of another kind is refused in the words of the file."""

import re

import pytest

from odenet.compiler import loads
from odenet.diagnostics import Report, Source, SpecError
from odenet.language import parse, tree
from tests.language.spec_texts import ROOT

# One value of each kind that an argument can be written as: chains of layers, a width, a text, lists, calls.
FOREIGN_VALUES = ["a -> b", "[a -> b, 1]", "2 c", '"a text"', "[[1]]", "f(a -> b)", "f(1)", "-3/7"]
PYTHON_REPR = re.compile(r"[A-Za-z]\w*\(\w+=|<[a-z]|Fraction\(|\bNone\b")  # `Name(id=`, `<class …`


def texts_with_a_foreign_value(text):
    """The text, each time with one value of an argument or a setting replaced."""
    values = [
        node.value
        for node in parse(Source("test.ode", text), Report()).walk()
        if isinstance(node, tree.Argument | tree.Setting)
    ]
    for value in values:
        for foreign in FOREIGN_VALUES:
            yield text[: value.span.start] + foreign + text[value.span.end :]


@pytest.mark.parametrize("name", ["hamiltonian", "language_model", "transformer", "unet"])
def test_a_foreign_value_is_refused_without_python_in_the_message(name):
    text = (ROOT / f"specs/{name}.ode").read_text()
    for changed in texts_with_a_foreign_value(text):
        try:
            loads(changed, {}, "test.ode")
        except SpecError as error:
            refusal = str(error)
            assert not PYTHON_REPR.search(refusal), refusal
