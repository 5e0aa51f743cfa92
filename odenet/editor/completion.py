"""What can come next at a place of a specification that is being written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from odenet.editor.document import Document, names
from odenet.editor.hover import in_train
from odenet.language import tree
from odenet.language.token_patterns import keywords
from odenet.model.elaboration.library import library
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.argument_kinds import Word
from odenet.model.tables.choices import Choice
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.recipe import recipe_keys
from odenet.model.tables.structural_layers import ALL_LAYERS, BEGINNINGS

INSIDE = frozenset({"aux", "exact", "for", "start"})  # keywords that begin no statement of a file


@dataclass(frozen=True)
class Proposal:
    """A word that can come next.

    Args:
        text: the word.
        kind: what it is: "keyword", "name", "scheme", "layer", "activation", "claim", "type",
            "key" or "value".
    """

    text: str
    kind: str


def completions(document: Document, line: int, column: int) -> list[Proposal]:
    """What can come at a place, whatever has been begun there.

    Args:
        document: finished or not.
        line: counted from 0.
        column: counted from 0, in characters.
    """
    offset = document.offset(line, column)
    before = document.source.line(line + 1)[:column]
    if "#" in before or before.count('"') % 2:
        return []
    begun = re.sub(r"\w*$", "", before)  # without the word that is being written
    if in_train(document, offset):
        return _setting(begun)
    lets = [let.name for let in document.brought if isinstance(let, tree.Let)]
    own = {name.spelling for name in (*_spelled(document.file), *lets)}
    statement = begun.split(maxsplit=1)[0] if begun.split() else ""
    if not statement:
        words = [word for word in keywords() if word not in INSIDE]
        return [*_all("keyword", words), *_all("name", own)]
    if statement in ("discretise", "discretize"):
        declared = (*document.file.statements, *document.brought)
        schemes = [
            s.name.spelling for s in declared if isinstance(s, tree.Scheme | tree.MadeScheme)
        ]
        started = "(" in begun or len(begun.split()) > 1
        words = [word for word in ("exact", "start") if started]
        return [*_all("scheme", [] if started else [*schemes, *library()]), *_all("keyword", words)]
    if statement == "require":
        return _all("claim", CLAIMS)
    if ":" in begun and "param" in begun.split()[:2]:
        return _all("type", PARAMETERS)
    if statement in ("net", "map", "->") or "->" in begun or "map" in begun.split()[:2]:
        maps = [m.name.spelling for m in document.file.statements_of(tree.Map)]
        begins = BEGINNINGS if statement == "net" and "->" not in begun else ()
        return [*_all("layer", (*begins, *ALL_LAYERS.forms, "residual")), *_all("name", maps)]
    if "=" in begun or statement == "output":
        return [*_all("name", own), *_all("activation", ACTIVATIONS)]
    return []


def _setting(begun: str) -> list[Proposal]:
    """A key of the recipe, or a value of the key before the `=`."""
    key, equals, _ = begun.partition("=")
    keys = recipe_keys()
    if not equals:
        return _all("key", keys)
    kind = keys[key.strip()].kind if key.strip() in keys else None
    options: Mapping[str, object] | Iterable[str] = ()
    # a list of such things, or a word or such a thing
    for one in (kind, getattr(kind, "item", None), getattr(kind, "kind", None)):
        if isinstance(one, Choice):
            options = one.forms
        elif isinstance(one, Word):
            options = one.options
    return _all("value", options)


def _spelled(file: tree.File) -> Iterable[tree.Name]:
    """The names that a file declares, as they are written."""
    declared = {defined.span.text for defined in names(file.statements).values()}
    found = (node for node in file.walk() if isinstance(node, tree.Name))
    return {node.spelling: node for node in found if node.spelling in declared}.values()


def _all(kind: str, words: Iterable[str]) -> list[Proposal]:
    return [Proposal(word, kind) for word in dict.fromkeys(words)]
