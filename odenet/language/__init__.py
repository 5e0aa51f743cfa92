"""From text to the syntax tree: grammar.lark, its nodes, its syntax errors and its formatter."""

from odenet.language.names import ConfusableNames, canonical, confusable
from odenet.language.parser import VERSION, parse, parse_setting

__all__ = ["VERSION", "ConfusableNames", "canonical", "confusable", "parse", "parse_setting"]
