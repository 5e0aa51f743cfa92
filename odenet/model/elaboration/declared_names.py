"""The names that a file declares, none of which is taken or looks like another."""

from odenet.diagnostics import Report
from odenet.language import ConfusableNames, canonical, tree
from odenet.model.elaboration.own_names import fixed_names


class DeclaredNames:
    """Names in the order of the text.

    Attributes:
        declared: where each was first declared.
        broken: names with an error that has been reported; nothing more is said about them.
    """

    def __init__(self, report: Report):
        self.report = report
        self.declared: dict[str, tree.Name] = {}
        self.broken: set[str] = set()
        self._fixed = fixed_names()
        self._shapes = ConfusableNames()

    def declare(self, name: tree.Name) -> None:
        """Note a name, or report that it is taken or cannot be told from another."""
        if twin := self._twin(name):
            message = f"`{name.spelling}` cannot be told from {twin} by eye"
            self.report.error("confusable-name", message, name.span, "choose another name")
        elif name.id in self.declared:
            first = self.declared[name.id]
            alias = f" as `{first.spelling}`" if first.spelling != name.spelling else ""
            message = f"`{name.spelling}` is defined twice"
            where = f"first defined{alias} in {_line_of(first, name)}"
            help_ = "remove one, or choose another name"
            self.report.error("name-taken", message, name.span, help_, label=where)
        elif name.id in self._fixed:
            message = f"`{name.spelling}` is {self._fixed[name.id]} and cannot be redefined"
            self.report.error("name-taken", message, name.span, "choose another name")
        else:
            self.declared[name.id] = name
            self._shapes.add(name.spelling)
            return
        self.broken.add(name.id)

    def declares(self, name: tree.Name) -> bool:
        """Whether a name is the one that declares what it names."""
        return self.declared.get(name.id) is name

    def known(self) -> list[str]:
        """The spellings of the declared names and of the language's own."""
        return [*(name.spelling for name in self.declared.values()), *self._fixed]

    def _twin(self, name: tree.Name) -> str:
        """A name that looks the same but is another, with where it comes from."""
        if other := self._shapes.find_confusable(name.spelling):
            return f"`{other}` of {_line_of(self.declared[canonical(other)], name)}"
        if other := ConfusableNames(self._fixed).find_confusable(name.spelling):
            return f"`{other}`, {self._fixed[other]},"
        return ""


def _line_of(name: tree.Name, seen_from: tree.Name) -> str:
    """The line of a name, with its file when that is another one."""
    source = name.span.source
    return f"line {name.span.line}" + (f" of {source.name}" * (source != seen_from.span.source))
