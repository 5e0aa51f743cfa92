"""A pygments lexer of the language, from its grammar and its tables of built-in names.

Installed, pygments finds it as `ode`, in a fenced block of Markdown for example.
"""

import re
from collections.abc import Iterator

from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from odenet.language.token_patterns import keyword_pattern, terminal_pattern
from odenet.model.elaboration.library import library_names
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.structural_layers import ALL_LAYERS


def builtins() -> frozenset[str]:
    """Names that need no declaration: activations, layers, types, claims and library schemes."""
    tables = (ACTIVATIONS, LAYERS, PARAMETERS, CLAIMS, ALL_LAYERS.forms)
    return frozenset(name for table in tables for name in table) | frozenset(library_names())


def _name(_lexer: RegexLexer, match: re.Match[str]) -> Iterator[tuple[int, object, str]]:
    name = match.group()
    yield match.start(), Name.Builtin if name in builtins() else Name, name


class OdeLexer(RegexLexer):
    """Specifications: keywords, names of the tables, numbers, texts, comments and signs."""

    name = "odenet"
    aliases = ("ode",)
    filenames = ("*.ode",)
    url = ""
    tokens = {  # noqa: RUF012  # pygments' own way to say it
        "root": [
            (terminal_pattern("COMMENT"), Comment.Single),
            (terminal_pattern("STRING"), String),
            (keyword_pattern(), Keyword),
            (terminal_pattern("NAME"), _name),
            (terminal_pattern("NUMBER"), Number),
            (r"\s+", Whitespace),
            (r"->|''?|ᵀ|\^|[-+−*·/=]", Operator),
            (r"[()\[\]{},:]", Punctuation),
        ]
    }
