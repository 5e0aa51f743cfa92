"""What a file declares: states, parameters, maps, lets and schemes."""

from collections.abc import Iterator, Sequence

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.elaboration.made import Invert
from odenet.model.elaboration.scope import SpecScope
from odenet.model.reading.scheme_table import SchemeTable
from odenet.model.reading.settings import Settings
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.declared_parameters import declare
from odenet.model.tables.parameters import PARAMETER_TYPES, PARAMETERS


class Declarations:
    """Reads the declarations of a file, and the schemes and lets of the files it uses.

    Attributes:
        schemes: the schemes that these files define, and the library.
        lost: statements that could not be parsed.
        equation_lost: whether one may be an equation, of a state that cannot be read off it.
    """

    def __init__(
        self,
        file: tree.File,
        used: Sequence[tree.File],
        overrides: Settings,
        invert: Invert,
        report: Report,
    ):
        self.file = file
        self.report = report
        self.scope = SpecScope(report)
        self.arguments = ArgumentReader(self.scope, report)
        self.lost: tuple[tree.Unparsed, ...] = ()
        for other in [*used, file]:
            self._note_lost(other)
        self.schemes = SchemeTable([*used, file], self.scope, invert, report)
        for other in used:
            self._declare(tree.File(other.statements_of(tree.Let), span=other.span))
        self._declare(file)
        lets = (let for other in [*used, file] for let in other.statements_of(tree.Let))
        self.scope.lets |= {let.name.id: let for let in lets if self.scope.declares(let.name)}
        overrides.apply_to_lets(self.scope)  # before a type reads one, as in init = normal(s)
        self.scope.elsewhere = {n.id: (what, n) for other in used for what, n in _own(other)}
        self.scope.used |= {let.name.id for other in used for let in other.statements_of(tree.Let)}
        self._states()
        maps = (line for line in file.statements_of(tree.Map) if self.scope.declares(line.name))
        self.scope.maps |= {line.name.id: line for line in maps}
        self._parameters()
        begun = {lost.mentions[0] for lost in self.lost if lost.kind == "name" and lost.mentions}
        self.scope.broken |= begun - self.scope.declared.keys()  # as of `n = 4`, without its `let`

    def _note_lost(self, file: tree.File) -> None:
        """What a statement with a syntax error would have said is not missed elsewhere."""
        self.lost += file.statements_of(tree.Unparsed)
        for statement in file.statements_of(tree.Unparsed):
            self.scope.broken |= set(statement.declares)
            self.scope.used |= set(statement.mentions)
            nameless = statement.kind in ("state", "param", "shared", "map", "let", "aux")
            hides_names = statement.kind == "use" or (nameless and not statement.declares)
            self.scope.incomplete = self.scope.incomplete or hides_names

    def _declare(self, file: tree.File) -> None:
        """Note the names of a file in the order of its text."""
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

    def _states(self) -> None:
        equations = {e.name.id: e.order for e in self.file.statements_of(tree.Equation)}
        mentioned = {n for lost in self.lost if lost.kind == "name" for n in lost.mentions}
        self.equation_lost = any(
            lost.kind == "stray"
            or (lost.kind == "name" and not self.scope.declared.keys() & lost.mentions[:1])
            for lost in self.lost
        )
        for statement in self.file.statements_of(tree.State):
            for name in statement.names:
                if not self.scope.declares(name):
                    continue
                self.scope.states[name.id] = equations.get(name.id, 1)
                if name.id not in equations and name.id not in mentioned and not self.equation_lost:
                    message = f"the state `{name.spelling}` has no equation"
                    help_ = f"add a line `{name.spelling}' = …`"
                    self.report.error("missing-equation", message, name.span, help_)

    def _parameters(self) -> None:
        for statement in self.file.statements_of(tree.Param):
            names = [name for name in statement.names if self.scope.declares(name)]
            try:
                call = self._type(statement)
                self._check_knots(call, statement)
            except Rejected:
                self.scope.broken |= {name.id for name in names}
                continue
            for name in names:
                learned = declare(name.id, call, statement.shared, name.span)
                self.scope.parameters[name.id] = learned

    def _type(self, statement: tree.Param) -> Call:
        call = self.arguments.call(statement.type, "a type of parameter")
        kind = PARAMETERS.get(call.name)
        if kind is not None and "knots" in call.kwargs and "knots" not in kind.arguments:
            message = f"a {call.name} has no knots: every step has one of its own"
            help_ = "leave out `knots`"
            self.report.reject("unknown-argument", message, call.argument_span("knots"), help_)
        call = self.arguments.checked(call, PARAMETER_TYPES, "")
        problem, help_ = PARAMETERS[call.name].problem(call.kwargs)
        if problem:
            self.report.reject("wrong-argument", problem, statement.type.span, help_)
        return call

    def _check_knots(self, call: Call, statement: tree.Param) -> None:
        if statement.shared and call.kwargs.get("knots"):
            message = "what is shared by all steps has one value, and no knots in time"
            help_ = "leave out `shared`, or `knots`"
            self.report.reject("wrong-argument", message, statement.type.span, help_)

    def check_used(self) -> None:
        """Report parameters and maps that no formula reads, where there are formulas."""
        if not self.file.statements_of(tree.State) and not self.file.statements_of(tree.Equation):
            return
        for name in self.scope.declared.values():
            if name.id in self.scope.used or name.id in self.scope.broken or self.equation_lost:
                continue
            if name.id in self.scope.parameters or name.id in self.scope.maps:
                what = "parameter" if name.id in self.scope.parameters else "map"
                message = f"the {what} `{name.spelling}` is never used"
                help_ = "remove it, or use it in an equation"
                self.report.error("unused-name", message, name.span, help_)


def _own(file: tree.File) -> Iterator[tuple[str, tree.Name]]:
    """What a file declares for itself alone, which `use` does not bring in."""
    for state in file.statements_of(tree.State):
        yield from (("state", name) for name in state.names)
    for param in file.statements_of(tree.Param):
        yield from (("parameter", name) for name in param.names)
    yield from (("map", each.name) for each in file.statements_of(tree.Map))
