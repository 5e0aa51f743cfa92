"""The parse tables of grammar.lark, computed once and stored in parse_tables.json.

Building the parser from the grammar takes as long as the rest of a compilation. Stored tables are
used only with the grammar and the lark version they were made from; `pytest --update-golden
tests/language/test_parse_tables.py` writes new ones.
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

TABLES_FILE = Path(__file__).with_name("parse_tables.json")


def build_parser(grammar: str) -> Lark:
    """The LALR parser of a grammar, for whole files and for a single setting."""
    start = ["file", "setting"]
    return Lark(grammar, parser="lalr", lexer="basic", start=start, propagate_positions=True)


def load_parser(grammar: str) -> Lark | None:
    """The parser made from the stored tables; None if these belong to another grammar or lark."""
    stored = files("odenet.language") / TABLES_FILE.name
    if not stored.is_file():
        return None
    tables = json.loads(stored.read_text(encoding="utf-8"), object_pairs_hook=_integer_keys)
    if tables["key"] != tables_key(grammar):
        return None
    # The parsers that `lark.tools.standalone` generates load their tables in the same way.
    return Lark.__new__(Lark)._load({"data": tables["data"], "memo": tables["memo"]})


def tables_key(grammar: str) -> str:
    """What stored tables are compared by: the version of lark and a hash of the grammar."""
    return f"{lark.__version__} {sha256(grammar.encode()).hexdigest()}"


def dump_tables(grammar: str) -> str:
    """The tables of a grammar as JSON, the content of parse_tables.json."""
    data, memo = build_parser(grammar).memo_serialize([TerminalDef, Rule])
    tables = {"key": tables_key(grammar), "data": data, "memo": memo}
    return json.dumps(tables, separators=(",", ":"))


def _integer_keys(pairs: list[tuple[str, Any]]) -> dict[str | int, Any]:
    """A JSON object in which parser states as keys are integers again: JSON has only strings."""
    return {int(name) if name.isdigit() else name: value for name, value in pairs}
