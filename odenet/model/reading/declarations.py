"""Reads the declarations of a file: states, parameters, maps, lets and schemes."""

from collections.abc import Iterator, Sequence

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.elaboration.made_schemes import InverseOf
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.reading.scheme_table import SchemeTable
from odenet.model.reading.settings import Settings
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.declared_parameters import declare
from odenet.model.tables.parameters import PARAMETER_TYPES, PARAMETERS


class Declarations:
    """The declarations of a file, and the schemes and lets of the files that it uses.

    Args:
        file: the file.
        used_files: the files that its `use` lines name, and those that these use.
        settings: the settings from outside the file, which replace values of `let`s.
        inverse_of: derives the lines of a scheme's inverse.
        report: collects the errors.

    Attributes:
        scope: the declared names with their meaning.
        argument_reader: evaluates arguments in that scope.
        schemes: the schemes that these files define, and those of the library.
        lost_statements: the statements that could not be parsed.
        may_lack_equation: whether one of these may be an equation without telling of which state.
    """

    def __init__(
        self,
        file: tree.File,
        used_files: Sequence[tree.File],
        settings: Settings,
        inverse_of: InverseOf,
        report: Report,
    ):
        self.file = file
        self.report = report
        self.scope = SpecScope(report)
        self.argument_reader = ArgumentReader(self.scope, report)
        self.lost_statements: tuple[tree.Unparsed, ...] = ()
        for each in [*used_files, file]:
            self._collect_lost_statements(each)
        self.schemes = SchemeTable([*used_files, file], self.scope, inverse_of)
        for used_file in used_files:
            self._declare_names(tree.File(used_file.statements_of(tree.Let), span=used_file.span))
        self._declare_names(file)
        lets = (let for each in [*used_files, file] for let in each.statements_of(tree.Let))
        self.scope.lets |= {let.name.id: let for let in lets if self.scope.declares(let.name)}
        settings.apply_to_lets(self.scope)  # before a type reads one, as in init = normal(s)
        unimported = (item for used_file in used_files for item in _unimported_names(used_file))
        self.scope.unimported_names = {name.id: (kind, name) for kind, name in unimported}
        imported = (let for used_file in used_files for let in used_file.statements_of(tree.Let))
        self.scope.used_names |= {let.name.id for let in imported}  # other specs may use them
        self._read_states()
        maps = file.statements_of(tree.Map)
        self.scope.maps |= {m.name.id: m for m in maps if self.scope.declares(m.name)}
        self._read_parameters()
        # a lost statement such as `n = 4`, which lacks its `let`, may declare its first name
        lines = [s for s in self.lost_statements if s.kind == "name" and s.mentions]
        self.scope.broken_names |= {s.mentions[0] for s in lines} - self.scope.declared.keys()

    def _collect_lost_statements(self, file: tree.File) -> None:
        """Collect statements with a syntax error; names that they may declare are not reported."""
        self.lost_statements += file.statements_of(tree.Unparsed)
        for statement in file.statements_of(tree.Unparsed):
            self.scope.broken_names |= set(statement.declares)
            self.scope.used_names |= set(statement.mentions)
            is_declaration = statement.kind in ("state", "param", "shared", "map", "let", "aux")
            may_declare = statement.kind == "use" or (is_declaration and not statement.declares)
            self.scope.incomplete = self.scope.incomplete or may_declare

    def _declare_names(self, file: tree.File) -> None:
        """Add the names that a file declares to the scope, in the order of its text."""
        for statement in file.statements:
            match statement:
                case tree.Let(name) if name.id == "c":
                    message = "`c` is the states' channel count and cannot be redefined"
                    self.report.error("name-taken", message, name.span, "choose another name")
                case tree.State(names) | tree.Param(_, names, _):
                    for name in names:
                        self.scope.declare(name)
                case tree.Map(_, name, _) | tree.Let(name, _):
                    self.scope.declare(name)
                case _:
                    pass

    def _read_states(self) -> None:
        """Read the `state` lines; report states without an equation."""
        orders = {e.name.id: e.order for e in self.file.statements_of(tree.Equation)}
        lost_lines = [lost for lost in self.lost_statements if lost.kind == "name"]
        mentioned = {name for lost in lost_lines for name in lost.mentions}
        self.may_lack_equation = any(
            lost.kind == "bad"  # begins with text that is not a token, so that it may be anything
            or (lost.kind == "name" and not self.scope.declared.keys() & lost.mentions[:1])
            for lost in self.lost_statements
        )
        for statement in self.file.statements_of(tree.State):
            for name in statement.names:
                if not self.scope.declares(name):
                    continue
                self.scope.states[name.id] = orders.get(name.id, 1)
                if name.id not in {*orders, *mentioned} and not self.may_lack_equation:
                    message = f"the state `{name.spelling}` has no equation"
                    help_ = f"add a line `{name.spelling}' = …`"
                    self.report.error("missing-equation", message, name.span, help_)

    def _read_parameters(self) -> None:
        """Read the `param` lines into the scope."""
        for statement in self.file.statements_of(tree.Param):
            names = [name for name in statement.names if self.scope.declares(name)]
            try:
                call = self._parameter_type(statement)
                self._check_knots(call, statement)
            except Rejected:
                self.scope.broken_names |= {name.id for name in names}
                continue
            for name in names:
                parameter = declare(name.id, call, statement.shared, name.span)
                self.scope.parameters[name.id] = parameter

    def _parameter_type(self, statement: tree.Param) -> Call:
        """The type of a `param` line with its arguments, checked; raises Rejected."""
        call = self.argument_reader.call(statement.type, "a type of parameter")
        kind = PARAMETERS.get(call.name)
        if kind is not None and "knots" in call.kwargs and "knots" not in kind.arguments:
            message = f"a {call.name} has no knots: every step has one of its own"
            help_ = "leave out `knots`"
            self.report.reject("unknown-argument", message, call.argument_span("knots"), help_)
        call = self.argument_reader.check_call(call, PARAMETER_TYPES, name="")
        problem, help_ = PARAMETERS[call.name].problem(call.kwargs)
        if problem:
            self.report.reject("wrong-argument", problem, statement.type.span, help_)
        return call

    def _check_knots(self, call: Call, statement: tree.Param) -> None:
        """Reject knots, values at single times, of a parameter that all steps share."""
        if statement.shared and call.kwargs.get("knots"):
            message = "what is shared by all steps has one value, and no knots in time"
            help_ = "leave out `shared`, or `knots`"
            self.report.reject("wrong-argument", message, statement.type.span, help_)

    def report_unused(self) -> None:
        """Report parameters and maps that no formula reads, if there are any equations."""
        if not self.file.statements_of(tree.State) and not self.file.statements_of(tree.Equation):
            return
        excused = self.scope.used_names | self.scope.broken_names
        for name in self.scope.declared.values():
            if name.id in excused or self.may_lack_equation:
                continue
            if name.id in self.scope.parameters or name.id in self.scope.maps:
                kind = "parameter" if name.id in self.scope.parameters else "map"
                message = f"the {kind} `{name.spelling}` is never used"
                help_ = "remove it, or use it in an equation"
                self.report.error("unused-name", message, name.span, help_)


def _unimported_names(file: tree.File) -> Iterator[tuple[str, tree.Name]]:
    """The names that a file declares and `use` does not bring in, each with its kind."""
    for state in file.statements_of(tree.State):
        yield from (("state", name) for name in state.names)
    for param in file.statements_of(tree.Param):
        yield from (("parameter", name) for name in param.names)
    yield from (("map", statement.name) for statement in file.statements_of(tree.Map))
