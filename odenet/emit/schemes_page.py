"""docs/schemes.md: every scheme of the library with what follows from its text."""

from collections.abc import Iterator

from odenet.derive import Derivation, derive
from odenet.emit.printing import scheme_rows
from odenet.model.elaboration.library import library_scheme, library_text

_HEAD = """# The schemes that ship with odenet

Written by `odenet schemes --markdown`: all but the texts is derived from the texts. What they mean
is in [the language](language.md#schemes-are-written-in-the-language). Stability is that on the test
equation of the `for` line, with the constants at their defaults.
"""


def schemes_page() -> str:
    """The text of docs/schemes.md."""
    rows = scheme_rows()
    columns = ("scheme", "takes", "order", "reversible", "symmetric", "volume")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [f"[{row['scheme']}](#{row['scheme']})", f"`{row['takes']}`"]
        cells += [str(row[key]).replace("|", "\\|") for key in columns[2:]]
        lines.append(f"| {' | '.join(cells)} |")
    sections = ["\n".join(_section(row["scheme"])) for row in rows]
    parts = [_HEAD, "\n".join(lines), *sections]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(name: str) -> Iterator[str]:
    """The lines about a scheme: its file, the scheme that this makes of others, derived facts.

    A file such as `scheme coupled_heun = coupled(heun)` has no update lines; they are shown below.
    """
    text, scheme = library_text(name).strip(), library_scheme(name)
    yield f"## {name}\n"
    yield f"```\n{text}\n```\n"
    if not text.startswith(scheme.text.split("{")[0]):
        yield f"which is\n\n```\n{scheme.text}\n```\n"
    yield from _derived_facts(derive(scheme))


def _derived_facts(derivation: Derivation) -> Iterator[str]:
    """The derived facts as a list of Markdown."""
    yield from (f"- {fact}" for fact in derivation.summary())
    stability = derivation.stability
    if isinstance(stability, str):
        yield f"- Stability: {stability}."
        return
    for axis in stability.axes:
        yield f"- {axis.sentence[0].upper()}{axis.sentence[1:]}."
