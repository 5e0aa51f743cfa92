"""Reads docs/errors.md, the page that explains each code of an error."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path


@cache
def error_entries() -> dict[str, str]:
    """The entry of each code, as Markdown without its heading, in the order of the page."""
    pieces = re.split(r"^(#+) (.+)\n", _page(), flags=re.MULTILINE)[1:]
    sections = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return {title: text.strip() for heading_level, title, text in sections if heading_level == "##"}


def _page() -> str:
    """The text of the page, from the installed package or from docs/ of a checkout."""
    packaged = files("odenet") / "errors.md"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
