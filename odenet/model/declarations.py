"""What a file declares: states, parameters, maps, lets and schemes."""

from collections.abc import Callable, Iterable

from odenet.diagnostics import Report
from odenet.language import tree
from odenet.model.elaborate import Rejected
from odenet.model.parameters import TYPES, declare
from odenet.model.recipe_values import Call
from odenet.model.schemes import library
from odenet.model.scope import SpecScope
from odenet.model.values import Values

Loader = Callable[[tree.Use], tree.File | None]


class Declarations:
    """Reads the declarations of a file, and the schemes and lets of the files it uses."""

    def __init__(self, file: tree.File, load: Loader, report: Report):
        self.file = file
        self.report = report
        self.scope = SpecScope(report)
        self.values = Values(self.scope.number, report)
        self.schemes: dict[str, tree.Scheme] = {}
        used = [other for use in file.of(tree.Use) if (other := load(use)) is not None]
        for other in [*used, file]:
            self._schemes(other.of(tree.Scheme))
            self._lets(other.of(tree.Let))
        self.scope.used |= {let.name.id for other in used for let in other.of(tree.Let)}
        self._states()
        self._maps()
        self._parameters()

    def _schemes(self, blocks: Iterable[tree.Scheme]) -> None:
        for block in blocks:
            name = block.name
            if name.id in self.schemes or name.id in library():
                where = "ships with odenet" if name.id in library() else "is defined already"
                self.report.error(f"a scheme `{name.spelling}` {where}", name.span,
                                  help="choose another name")  # fmt: skip
                continue
            self.schemes[name.id] = block

    def _lets(self, lets: Iterable[tree.Let]) -> None:
        for let in lets:
            if let.name.id == "c":
                self.report.error("`c` is the states' channel count and cannot be redefined",
                                  let.name.span, help="choose another name")  # fmt: skip
            elif self.scope.declare(let.name):
                self.scope.lets[let.name.id] = let

    def _states(self) -> None:
        equations = {e.name.id: e.order for e in self.file.of(tree.Equation)}
        for statement in self.file.of(tree.State):
            for name in statement.names:
                if not self.scope.declare(name):
                    continue
                self.scope.states[name.id] = equations.get(name.id, 1)
                if name.id not in equations:
                    self.report.error(f"the state `{name.spelling}` has no equation", name.span,
                                      help=f"add a line `{name.spelling}' = …`")  # fmt: skip

    def _maps(self) -> None:
        for statement in self.file.of(tree.Map):
            if self.scope.declare(statement.name):
                self.scope.maps[statement.name.id] = statement

    def _parameters(self) -> None:
        for statement in self.file.of(tree.Param):
            names = [name for name in statement.names if self.scope.declare(name)]
            try:
                call = self._type(statement)
            except Rejected:
                call = Call("bias", (), {"init": Call("zeros")})
                self.scope.used |= {name.id for name in names}
            for name in names:
                learned = declare(name.id, call, statement.shared, name.span)
                self.scope.parameters[name.id] = learned

    def _type(self, statement: tree.Param) -> Call:
        call = self.values.checked(self.values.call(statement.type), TYPES, "")
        groups = call.kwargs.get("group", 1), call.kwargs.get("kind")
        if call.name == "norm" and groups == (0, "group"):
            self.report.error("which norm?", statement.type.span,
                              help="write norm(batch), norm(layer) or norm(group = 8)")  # fmt: skip
            raise Rejected
        return call

    def check_used(self) -> None:
        """Report parameters, maps and states that no formula reads."""
        for name in self.scope.declared.values():
            if name.id in self.scope.used:
                continue
            if name.id in self.scope.parameters or name.id in self.scope.maps:
                what = "parameter" if name.id in self.scope.parameters else "map"
                self.report.error(f"the {what} `{name.spelling}` is never used", name.span,
                                  help="remove it, or use it in an equation")  # fmt: skip
