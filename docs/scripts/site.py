"""What the documentation site does that mkdocs does not: `mkdocs build` calls these hooks.

Pages are written to be read in the repository too. So README is the front page, links that lead
out of `docs/` go to pages made of those files, and fences without a language that hold a
specification are coloured as one.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPECIFICATION = re.compile(
    r"^ *(odenet \d|state |param |map |scheme |discretise |require |let |net +=|train \{)",
    re.MULTILINE,
)
PICTURES = {".png", ".svg"}
LANGUAGES = {".ode": "ode", ".py": "python", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README, the change log, and what pages link to outside of `docs/`."""
    pages = [_source(file.src_uri) for file in files.documentation_pages()]
    to_read = ["README.md", "CHANGELOG.md", *pages]
    seen = set()
    while to_read:
        path = to_read.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            files.append(_file(path, config))
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            targets = [_target(path, url) for _, url, _ in LINK.findall(text)]
            to_read += [target for target in targets if target]
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links into those of the site, and name the language of specifications."""
    here = page.file.src_uri

    def link(match: re.Match[str]) -> str:
        before, url, after = match.groups()
        target = _target(_source(here), url)
        if target is None:
            return match.group()
        fragment = f"#{urlsplit(url).fragment}" if "#" in url else ""
        relative = posixpath.relpath(_site_path(target), posixpath.dirname(here) or ".")
        return f"{before}{relative}{fragment}{after}"

    return FENCE.sub(_with_language, LINK.sub(link, markdown))


def _with_language(fence: re.Match[str]) -> str:
    language, text = fence.groups()
    if not language:
        language = "ode" if SPECIFICATION.search(text) else "text"
    return f"```{language}\n{text}```"


def _target(path: str, url: str) -> str | None:
    """The file of the repository that a link on the page `path` leads to; None for other links."""
    parts = urlsplit(url)
    if parts.scheme or not parts.path:
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
    return target if (ROOT / target).is_file() else None


def _site_path(path: str) -> str:
    """Where a file of the repository is among the sources of the site."""
    if path == "README.md":
        return "index.md"
    path = path.removeprefix("docs/")
    return path if Path(path).suffix in PICTURES | {".md"} else f"{path}.md"


def _source(site_path: str) -> str:
    """The file of the repository that is at a place of the site."""
    if site_path == "index.md":
        return "README.md"
    for path in (f"docs/{site_path}", site_path, site_path.removesuffix(".md")):
        if (ROOT / path).is_file():
            return path
    return f"docs/{site_path}"


def _file(path: str, config: MkDocsConfig) -> File:
    file = ROOT / path
    if file.suffix in PICTURES:
        return File.generated(config, _site_path(path), abs_src_path=str(file))
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".md":
        text = f"# {file.name}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}````\n"
    return File.generated(config, _site_path(path), content=text)
