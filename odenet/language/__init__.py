"""From text to the syntax tree: grammar.lark, its nodes, its syntax errors and its formatter."""

from odenet.language.names import canonical, confusable
from odenet.language.parser import parse

__all__ = ["canonical", "confusable", "parse"]
