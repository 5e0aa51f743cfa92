"""A strict HTML parser, and the checks that every page of a report has to pass."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID_ELEMENTS = {"meta", "link", "br", "img", "wbr", "hr", "input"}
MAX_BYTES = 2_000_000


class Page(HTMLParser):
    """Parses a page strictly: every element that is opened is closed, in order.

    Attributes:
        open: names of the elements that are open.
        elements: name and attributes of each element.
        ids: the values of the attribute `id` of all elements.
        links: the addresses that the elements load or lead to (`src`, `href` and the like).
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.elements, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.elements.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href", "srcset")]
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID_ELEMENTS:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag


def check_page(text):
    """The parsed page; it has to be well formed and small, load nothing and describe pictures."""
    page = Page(text)
    assert len(text.encode()) < MAX_BYTES
    assert len(set(page.ids)) == len(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"@import|url\((?!#)", text)
    for formula in re.findall(r"<math.*?</math>", text, re.DOTALL):
        ElementTree.fromstring(formula)
        assert "\\" not in formula and "&amp;" not in formula
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img" and attributes["aria-label"]
    return page
