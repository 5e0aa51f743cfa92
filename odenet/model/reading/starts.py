"""The `start` lines where a scheme is used."""

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.reading.declarations import Declarations
from odenet.model.typed.scheme import Scheme


class StartScope(SchemeScope):
    """The names of a `start` line where a scheme is used: the scheme's, then the file's."""

    def __init__(self, scheme: Scheme, declared: Declarations, report: Report):
        block = tree.Scheme(
            tree.Name(scheme.name, scheme.name, span=scheme.span), None, (), span=scheme.span
        )
        super().__init__(block, report)
        self.file_scope = declared.scope
        self.unknowns = list(scheme.unknowns)
        self.functions = {p.function: p for p in scheme.patterns}
        self.numbers |= {name for name, _ in (*scheme.constants, *scheme.lets)}
        self.spellings = dict(scheme.spellings)
        self.inside_start = True

    def name(self, node: tree.Name):
        """The scheme's names, then the numbers and what is learned in the file."""
        found = super().name(node)
        if found is not None or node.id in self.unknowns:
            return found
        learned = {**self.file_scope.parameters, **self.file_scope.maps}
        if node.id in learned or self.file_scope.number(node) is not None:
            return self.file_scope.name(node)
        if node.id in self.file_scope.declared or node.id == "u":
            message = f"a start value reads the unknowns of the scheme, not `{node.spelling}`"
            known = [f"{self.spellings.get(n, n)}[0]" for n in self.unknowns]
            self.report.reject("scheme-start", message, node.span, f"write {' or '.join(known)}")
        return None


def read_starts(line: tree.Discretise, scheme: Scheme, declared: Declarations, report: Report):
    """The scheme's start lines, replaced where the file gives its own; raises Rejected."""
    given = StartScope(scheme, declared, report).starts(line.starts)
    failed = len(given) < len(line.starts)
    starts = {slot: value for slot, value in scheme.starts}
    for slot, value in given:
        if slot not in starts:
            known = [f"{scheme.spellings[s.name]}[{s.offset}]" for s in starts]
            help_ = f"it starts from {', '.join(known)}" if known else "it starts from the states"
            report.error("scheme-start", f"{scheme.name} has no such start", slot.span, help_)
            failed = True
        starts[slot] = value
    if failed:
        raise Rejected
    return tuple(starts.items())
