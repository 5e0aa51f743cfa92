"""The names that a file declares, with errors for names that are taken or look like another."""

from odenet.diagnostics import Report
from odenet.language import ConfusableNames, canonical, tree
from odenet.model.elaboration.builtin_names import builtin_names


class DeclaredNames:
    """Collects declared names in the order of the text.

    Attributes:
        declared: canonical name -> the name where it was first declared.
        broken_names: names with an error that has been reported. A formula that uses one is given
            up without another report.
    """

    def __init__(self, report: Report):
        self.report = report
        self.declared: dict[str, tree.Name] = {}
        self.broken_names: set[str] = set()
        self._builtin_names = builtin_names()
        self._spellings = ConfusableNames()

    def declare(self, name: tree.Name) -> None:
        """Add a name, or report that it is taken or looks the same as another."""
        if lookalike := self._lookalike(name):
            message = f"`{name.spelling}` cannot be told from {lookalike} by eye"
            self.report.error("confusable-name", message, name.span, "choose another name")
        elif name.id in self.declared:
            first = self.declared[name.id]
            alias = f" as `{first.spelling}`" if first.spelling != name.spelling else ""
            message = f"`{name.spelling}` is defined twice"
            label = f"first defined{alias} in {_line_of(first, name)}"
            help_ = "remove one, or choose another name"
            self.report.error("name-taken", message, name.span, help_, label=label)
        elif name.id in self._builtin_names:
            message = f"`{name.spelling}` is {self._builtin_names[name.id]} and cannot be redefined"
            self.report.error("name-taken", message, name.span, "choose another name")
        else:
            self.declared[name.id] = name
            self._spellings.add(name.spelling)
            return
        self.broken_names.add(name.id)

    def declares(self, name: tree.Name) -> bool:
        """Whether a name in the text is the first declaration of that name."""
        return self.declared.get(name.id) is name

    def known_spellings(self) -> list[str]:
        """The spellings of all declared and built-in names."""
        return [*(name.spelling for name in self.declared.values()), *self._builtin_names]

    def _lookalike(self, name: tree.Name) -> str:
        """Another name that looks the same, described with its origin; empty if there is none."""
        if other := self._spellings.find_confusable(name.spelling):
            return f"`{other}` of {_line_of(self.declared[canonical(other)], name)}"
        if other := ConfusableNames(self._builtin_names).find_confusable(name.spelling):
            return f"`{other}`, {self._builtin_names[other]},"
        return ""


def _line_of(name: tree.Name, reference: tree.Name) -> str:
    """The line of a name in words, with its file where `reference` is in another file."""
    source = name.span.source
    return f"line {name.span.line}" + (f" of {source.name}" * (source != reference.span.source))
