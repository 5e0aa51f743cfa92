"""Reads the `start` values of a `discretise` line: the values of a scheme before the first step."""

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.reading.declarations import Declarations
from odenet.model.typed.scheme import Scheme


class StartScope(SchemeScope):
    """The scope of `start` values in a `discretise` line: the scheme's names, then the file's."""

    def __init__(self, scheme: Scheme, declarations: Declarations, report: Report):
        name = tree.Name(scheme.name, scheme.name, span=scheme.span)
        super().__init__(tree.Scheme(name, constants=None, rules=(), span=scheme.span), report)
        self.file_scope = declarations.scope
        self.unknowns = list(scheme.unknowns)
        self.functions = {p.function: p for p in scheme.patterns}
        self.numbers |= {name for name, _ in (*scheme.constants, *scheme.lets)}
        self.spellings = dict(scheme.spellings)
        self.in_start_line = True

    def resolve_name(self, node: tree.Name):
        """The meaning of a name of the scheme, or of a number, parameter or map of the file.

        None if it is neither; raises Rejected for another name of the file.
        """
        meaning = super().resolve_name(node)
        if meaning is not None or node.id in self.unknowns:
            return meaning
        learned_names = {**self.file_scope.parameters, **self.file_scope.maps}
        if node.id in learned_names or self.file_scope.let_number(node) is not None:
            return self.file_scope.resolve_name(node)
        if node.id in self.file_scope.declared or node.id == "u":
            message = f"a start value reads the unknowns of the scheme, not `{node.spelling}`"
            values = [f"{self.spellings.get(n, n)}[0]" for n in self.unknowns]
            self.report.reject("scheme-start", message, node.span, f"write {' or '.join(values)}")
        return None


def read_starts(line: tree.Discretise, scheme: Scheme, declarations: Declarations, report: Report):
    """The start values of a scheme, replaced by those that the `discretise` line gives.

    Raises Rejected after reporting an error.
    """
    given_values = StartScope(scheme, declarations, report).starts(line.starts)
    failed = len(given_values) < len(line.starts)
    starts = {slot: value for slot, value in scheme.starts}
    for slot, value in given_values:
        if slot not in starts:
            known = [f"{scheme.spellings[s.name]}[{s.offset}]" for s in starts]
            help_ = f"it starts from {', '.join(known)}" if known else "it starts from the states"
            report.error("scheme-start", f"{scheme.name} has no such start", slot.span, help_)
            failed = True
        starts[slot] = value
    if failed:
        raise Rejected
    return tuple(starts.items())
