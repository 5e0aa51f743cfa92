"""Replaces a function of odenet by a wrong one, which the numerical checks have to catch."""

import sys
from typing import Any

import pytest


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, original: Any, wrong: Any) -> None:
    """Replace a function by a wrong one in all modules of proofs and derivations that import it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(
            ("odenet.analyse", "odenet.confirm", "odenet.derive", "odenet.compiler")
        ):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    monkeypatch.setattr(module, attribute, wrong)
