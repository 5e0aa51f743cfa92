"""What a piece of generated code reads, as Python itself sees it."""

import ast


def names_read(code: str) -> set[str]:
    """The names that statements read: no attributes, keywords, or words in texts and comments."""
    nodes = ast.walk(ast.parse(code))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
