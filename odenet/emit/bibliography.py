"""The papers that a specification and its scheme cite, as BibTeX."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from odenet.model.elaboration.library import library_names, library_text
from odenet.model.typed.program import Model

_ENTRY = re.compile(r"^@\w+\{(?P<key>\w+),\n  cited +=  *\{(?P<cited>[^}]*)\},\n", re.MULTILINE)


def citations(model: Model) -> Mapping[str, str]:
    """The entries that a specification cites, by key.

    Citations are looked for in its text, comments included, and in the text of its scheme.
    """
    texts = [model.source.text]
    if model.discretisation_or_none is not None and model.scheme.name in library_names():
        texts.append(library_text(model.scheme.name))
    return citations_in("\n".join(texts))


def citations_in(text: str) -> Mapping[str, str]:
    """The entries that a text cites, by key, in the order of the bibliography."""
    text = re.sub(r"[\s#]+", " ", text).replace(" and ", " & ")  # in one line, as entries have it
    text = re.sub(r"(\d{4}), (AAAI|ICLR)\b", r"\1 (\2)", text)
    forms = set[str]()
    # the longest first: `… 2018 (ICLR)` is not `… 2018`
    for form in sorted(_entries_by_citation(), key=len, reverse=True):
        if form in text:
            forms.add(form)
            text = text.replace(form, "")
    cited = (entries for form, entries in _entries_by_citation().items() if form in forms)
    return {key: entry for entries in cited for key, entry in entries.items()}


@cache
def _entries_by_citation() -> Mapping[str, Mapping[str, str]]:
    """The entries by the form in which texts cite them, `He et al. 2016`, and then by key."""
    text = (files("odenet.emit") / "bibliography.bib").read_text(encoding="utf-8")
    entries: dict[str, dict[str, str]] = {}
    for part in text.split("\n\n"):
        if head := _ENTRY.match(part):
            lines = [line for line in part.strip().split("\n") if not line.startswith("  cited ")]
            entries.setdefault(head["cited"], {})[head["key"]] = "\n".join(lines)
    return entries
