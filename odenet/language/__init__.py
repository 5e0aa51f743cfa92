"""From text to the syntax tree: grammar.lark, its nodes, its syntax errors and its formatter."""

from odenet.language.names import canonical, confusable
from odenet.language.parser import parse, parse_setting

VERSION = 1  # of the language, as in the line `odenet 1`

__all__ = ["VERSION", "canonical", "confusable", "parse", "parse_setting"]
