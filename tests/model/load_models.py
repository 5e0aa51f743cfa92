"""From a short text to its typed program, or to the messages with which it is refused."""

import pytest

from odenet.compiler import load, loads
from odenet.diagnostics import SpecError
from tests.language.spec_texts import ROOT


def load_model(text, **settings):
    """The typed program of a text."""
    return loads(text, settings, "test.ode").model


def error_messages(text, **settings):
    """The messages of a text that is refused."""
    with pytest.raises(SpecError) as caught:
        loads(text, settings, "test.ode")
    return [diagnostic.message for diagnostic in caught.value.diagnostics]


def one_state_spec(right, declarations="", rest=""):
    """The text of a specification with one state `Y` and forward Euler.

    Args:
        right: the right-hand side of the equation.
        declarations: lines above the equation.
        rest: lines below the discretisation.
    """
    return f"state Y\n{declarations}\nY' = {right}\ndiscretise euler(h = 0.1)\n{rest}\n"


def load_right_hand_side(right, declarations=""):
    """The typed right-hand side of a specification with one state."""
    return load_model(one_state_spec(right, declarations)).dynamics.rates["Y"]


def load_construct(name):
    """The typed program of a file in tests/model/good."""
    return load(ROOT / "tests/model/good" / f"{name}.ode").model
