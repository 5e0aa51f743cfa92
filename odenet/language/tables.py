"""The parse tables of grammar.lark, computed once and kept in tables.json.

Building the parser from the grammar takes as long as all the rest of a compilation. The tables are
used only for the very grammar and lark that they were made from; `pytest --update-golden
tests/language/test_tables.py` writes them anew.
"""

import json
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import lark
from lark import Lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

FILE = Path(__file__).with_name("tables.json")


def build(grammar: str) -> Lark:
    """The LALR parser of a grammar, for whole files and for a single setting."""
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        start=["file", "setting"],
        propagate_positions=True,
    )


def restore(grammar: str) -> Lark | None:
    """The same parser from the tables; None where they are of another grammar or lark."""
    kept = files("odenet.language") / FILE.name
    if not kept.is_file():
        return None
    tables = json.loads(kept.read_text(encoding="utf-8"), object_pairs_hook=_numbered)
    if tables["key"] != key(grammar):
        return None
    # As the parsers do that lark's tool `standalone` writes.
    return Lark.__new__(Lark)._load({"data": tables["data"], "memo": tables["memo"]})


def key(grammar: str) -> str:
    """What tables belong to: the version of lark, and the grammar they were made from."""
    return f"{lark.__version__} {sha256(grammar.encode()).hexdigest()}"


def dump(grammar: str) -> str:
    """The tables of a grammar as a text."""
    data, memo = build(grammar).memo_serialize([TerminalDef, Rule])
    return json.dumps({"key": key(grammar), "data": data, "memo": memo}, separators=(",", ":"))


def _numbered(pairs: list[tuple[str, Any]]) -> dict[str | int, Any]:
    """An object with the numbers of states as numbers, which JSON writes as texts."""
    return {int(name) if name.isdigit() else name: value for name, value in pairs}
