"""Wrong functions in the place of right ones."""

import sys
from typing import Any

import pytest


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, original: Any, wrong: Any) -> None:
    """Put a wrong function in the place of one, wherever odenet has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(
            ("odenet.analyse", "odenet.confirm", "odenet.derive", "odenet.compiler")
        ):
            for attribute, found in list(vars(module).items()):
                if found is original:
                    monkeypatch.setattr(module, attribute, wrong)
