"""The names that generated code reads, found by Python's own parser."""

import ast


def names_read(code: str) -> set[str]:
    """The names that statements read, without attributes, keywords, and words in strings."""
    nodes = ast.walk(ast.parse(code))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
