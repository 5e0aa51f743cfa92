"""Code completion: the words that can come next at a position in a file."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from odenet.editor.document import Document, find_definitions
from odenet.editor.hover import is_in_recipe
from odenet.language import tree
from odenet.language.token_patterns import keywords
from odenet.model.elaboration.library import library_names
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.argument_kinds import Word
from odenet.model.tables.choices import Choice
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.recipe import recipe_keys
from odenet.model.tables.structural_layers import ALL_LAYERS, INPUTS

# Keywords that do not begin a statement of a file.
NOT_STATEMENTS = frozenset({"aux", "exact", "for", "start"})


@dataclass(frozen=True)
class Proposal:
    """A word that can come next.

    Args:
        text: the word.
        kind: its kind: "keyword", "name", "scheme", "layer", "activation", "claim", "type", "key"
            or "value".
    """

    text: str
    kind: str


def completions(document: Document, line: int, column: int) -> list[Proposal]:
    """All words that can stand at a position; the editor filters them by the letters typed so far.

    Args:
        document: the file, which may be incomplete.
        line: counted from 0.
        column: counted from 0, in characters.
    """
    offset = document.offset(line, column)
    line_start = document.source.line(line + 1)[:column]
    if "#" in line_start or line_start.count('"') % 2:
        return []
    prefix = re.sub(r"\w*$", "", line_start)  # without the word being typed
    if is_in_recipe(document, offset):
        return _recipe_proposals(prefix)
    lets = [let.name for let in document.imported_statements if isinstance(let, tree.Let)]
    names = {name.spelling for name in (*_declared_names(document.file), *lets)}
    first_word = prefix.split(maxsplit=1)[0] if prefix.split() else ""
    if not first_word:
        words = [word for word in keywords() if word not in NOT_STATEMENTS]
        return [*_proposals("keyword", words), *_proposals("name", names)]
    if first_word in ("discretise", "discretize"):
        statements = (*document.file.statements, *document.imported_statements)
        schemes = [
            s.name.spelling for s in statements if isinstance(s, tree.Scheme | tree.MadeScheme)
        ]
        after_scheme = "(" in prefix or len(prefix.split()) > 1
        words = [word for word in ("exact", "start") if after_scheme]
        schemes = [] if after_scheme else [*schemes, *library_names()]
        return [*_proposals("scheme", schemes), *_proposals("keyword", words)]
    if first_word == "require":
        return _proposals("claim", CLAIMS)
    if ":" in prefix and "param" in prefix.split()[:2]:
        return _proposals("type", PARAMETERS)
    if first_word in ("net", "map", "->") or "->" in prefix or "map" in prefix.split()[:2]:
        maps = [m.name.spelling for m in document.file.statements_of(tree.Map)]
        first_layers = INPUTS if first_word == "net" and "->" not in prefix else ()
        layers = (*first_layers, *ALL_LAYERS.forms, "residual")
        return [*_proposals("layer", layers), *_proposals("name", maps)]
    if "=" in prefix or first_word == "output":
        return [*_proposals("name", names), *_proposals("activation", ACTIVATIONS)]
    return []


def _recipe_proposals(prefix: str) -> list[Proposal]:
    """The keys of the recipe, or the values of the key before the `=`."""
    key, equals, _ = prefix.partition("=")
    keys = recipe_keys()
    if not equals:
        return _proposals("key", keys)
    key_kind = keys[key.strip()].kind if key.strip() in keys else None
    values: Mapping[str, object] | Iterable[str] = ()
    # a `Choice` or `Word` may be inside another kind: `ListOf.item`, `WordOr.kind`
    for kind in (key_kind, getattr(key_kind, "item", None), getattr(key_kind, "kind", None)):
        if isinstance(kind, Choice):
            values = kind.forms
        elif isinstance(kind, Word):
            values = kind.options
    return _proposals("value", values)


def _declared_names(file: tree.File) -> Iterable[tree.Name]:
    """The names that a file declares, each once."""
    spellings = {definition.span.text for definition in find_definitions(file.statements).values()}
    nodes = (node for node in file.walk() if isinstance(node, tree.Name))
    return {node.spelling: node for node in nodes if node.spelling in spellings}.values()


def _proposals(kind: str, words: Iterable[str]) -> list[Proposal]:
    """Proposals of one kind, each word once."""
    return [Proposal(word, kind) for word in dict.fromkeys(words)]
