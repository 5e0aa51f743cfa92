"""Files of other programs that use the ending `.ode`."""

import re

_KINDS = (
    (
        "gotran",
        re.compile(r"^\s*(parameters|states|expressions)\s*\(|^\s*d\w+_dt\s*=", re.MULTILINE),
    ),
    (
        "XPPAUT",
        re.compile(
            r"^\s*(par|param|init|wiener|global|done|@)\b[^:]*=|^\s*(done|d)\s*$|^\s*d\w+/dt\s*=|^\s*@",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
)


def recognise(text: str) -> str:
    """The name of the program a text was written for; empty when it may be ours."""
    if re.search(r"^\s*(odenet\s+1|state\s|discreti[sz]e\s)", text, re.MULTILINE):
        return ""
    return next((name for name, pattern in _KINDS if pattern.search(text)), "")
