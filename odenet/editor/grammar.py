"""A TextMate grammar of the language, by which editors such as VS Code colour a file."""

import json
from typing import Any

from odenet.language.token_patterns import keyword_pattern, terminal_pattern


def textmate() -> str:
    """The text of editors/vscode/syntaxes/ode.tmLanguage.json, made from grammar.lark."""
    name = terminal_pattern("NAME")
    rules = (
        ("comment.line.number-sign", terminal_pattern("COMMENT")),
        ("string.quoted.double", terminal_pattern("STRING")),
        ("keyword.control", keyword_pattern()),
        ("entity.name.function", rf"{name}(?=\()"),
        ("variable.other", name),
        ("constant.numeric", terminal_pattern("NUMBER")),
        ("keyword.operator", r"->|''?|ᵀ|\^|[-+−*·/=]"),
    )
    grammar: dict[str, Any] = {
        "name": "odenet",
        "scopeName": "source.ode",
        "fileTypes": ["ode"],
        "patterns": [{"name": f"{scope}.ode", "match": match} for scope, match in rules],
    }
    return json.dumps(grammar, indent=2, ensure_ascii=False) + "\n"
