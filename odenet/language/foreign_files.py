"""Recognises files of other programs, such as XPPAUT, whose files have the ending `.ode` too."""

import re

from odenet.diagnostics import Diagnostic, Source, Span

# Programs, each with a regular expression of a line that its files have.
_PROGRAMS = (
    (
        "Python",
        r"^(import[ \t]+\w+|from[ \t]+[\w.]+[ \t]+import\b|(class|def)[ \t]+\w+.*:[ \t]*$)",
    ),
    (
        "gotran",
        r"^[ \t]*((parameters|states|expressions|component|monitor)[ \t]*\(|d\w+_dt[ \t]*=)",
    ),
    (
        "XPPAUT",
        r"^[ \t]*(@|%|!\w|"
        r"(par|param|params|p|init|i|aux|number|wiener|table|markov|global|done|d)\b[ \t]*"
        r"(\w+[ \t]*=|$)|d\w+/dt[ \t]*=|\w+\([ \t]*t[ \t]*\+[ \t]*1[ \t]*\)[ \t]*=)",
    ),
)
_SHARING_THE_ENDING = ("gotran", "XPPAUT")
_SPEC = "a spec of odenet has the line `odenet 1`, states (`state Y`) and equations (`Y' = …`)"
_ODENET_LINE = re.compile(r"^[ \t]*(odenet[ \t]+[0-9]|state[ \t]|discreti[sz]e[ \t])", re.MULTILINE)


def recognise_foreign(source: Source) -> Diagnostic | None:
    """The error for a text that was written for another program; None if it may be a spec."""
    if _ODENET_LINE.search(source.text):
        return None
    for program, pattern in _PROGRAMS:
        match = re.search(pattern, source.text, re.MULTILINE | re.IGNORECASE)
        if match:
            shared = ", which also uses the ending .ode" if program in _SHARING_THE_ENDING else ""
            message = f"this looks like a file of {program}{shared}"
            place, label = Span(source, *match.span(1)), f"this is how {program} writes it"
            return Diagnostic("not-a-spec", message, place, _SPEC, label=label)
    return None
