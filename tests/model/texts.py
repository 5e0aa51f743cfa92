"""Short ways to typed programs."""

import pytest

from odenet.compiler import load, loads
from odenet.diagnostics import SpecError
from tests.language.texts import ROOT


def model_of(text, **settings):
    """The typed program of a text."""
    return loads(text, settings, "test.ode").model


def errors_of(text, **settings):
    """The messages of a text that is refused."""
    with pytest.raises(SpecError) as caught:
        loads(text, settings, "test.ode")
    return [diagnostic.message for diagnostic in caught.value.diagnostics]


def one_state(right, declarations="", rest=""):
    """A spec with one state `Y` and one equation."""
    return f"state Y\n{declarations}\nY' = {right}\ndiscretise euler(h = 0.1)\n{rest}\n"


def rate_of(right, declarations=""):
    """The typed right-hand side of a spec with one state."""
    return model_of(one_state(right, declarations)).dynamics.rates["Y"]


def good(name):
    return load(ROOT / "tests/model/good" / f"{name}.ode").model
