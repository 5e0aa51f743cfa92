"""What docs/errors.md says about each code."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path


@cache
def entries() -> dict[str, str]:
    """The entry of each code as Markdown, without its heading, in the order of the page."""
    parts = re.split(r"^(#+) (.+)\n", _page(), flags=re.MULTILINE)[1:]
    headed = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {title: text.strip() for mark, title, text in headed if mark == "##"}


def _page() -> str:
    """The page: inside the package when installed, beside it in a checkout."""
    packaged = files("odenet") / "errors.md"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
