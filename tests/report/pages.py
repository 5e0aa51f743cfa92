"""What is asked of every page, whatever it is about."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "link", "br", "img", "wbr", "hr", "input"}
MOST_BYTES = 2_000_000


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.seen, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.seen.append((tag, known))
        self.ids += [known["id"]] if "id" in known else []
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag


def check(text):
    """The page as elements, if it is well formed, small, alone in the world, and described."""
    page = Page(text)
    assert len(text.encode()) < MOST_BYTES
    assert len(set(page.ids)) == len(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"@import|url\((?!#)", text)
    for formula in re.findall(r"<math.*?</math>", text, re.DOTALL):
        ElementTree.fromstring(formula)
        assert "\\" not in formula and "&amp;" not in formula
    for tag, attributes in page.seen:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
    return page
