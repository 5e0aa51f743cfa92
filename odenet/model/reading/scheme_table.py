"""The schemes that a file can use: its own, those of the files it uses, and the library."""

from collections.abc import Sequence

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.elaboration.made import MAKERS, Invert, Maker, made_scheme
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.elaboration.schemes import elaborate_scheme
from odenet.model.elaboration.scope import SpecScope
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.scheme import Scheme


class SchemeTable:
    """Finds schemes by name, and makes those that are made of others.

    Args:
        files: those that define schemes, the spec's own last; schemes may read its maps.
        scope: the names of the spec.
        invert: the inverse of a scheme.
        report: takes what is wrong.
    """

    def __init__(
        self, files: Sequence[tree.File], scope: SpecScope, invert: Invert, report: Report
    ):
        self.scope = scope
        self.invert = invert
        self.maps = {statement.name.id for statement in files[-1].statements_of(tree.Map)}
        self.report = report
        self._known: dict[str, Scheme | None] = {}
        self._made: dict[str, tree.MadeScheme] = {}
        self._being_made: list[str] = []
        for file in files:
            self._add(file)
        for statement in [*self._made.values()]:
            if statement.name.id not in self._known:
                self._make(statement)

    def _add(self, file: tree.File) -> None:
        for lost in file.statements_of(tree.Unparsed):
            if lost.kind == "scheme" and lost.declares:
                self._known[lost.declares[0]] = None
        for block in (*file.statements_of(tree.Scheme), *file.statements_of(tree.MadeScheme)):
            self._check_name(block.name)
            if isinstance(block, tree.MadeScheme):
                self._made[block.name.id] = block
            else:
                scheme = elaborate_scheme(block, self.report, self.maps)
                self._known[block.name.id] = scheme
                if scheme is None:  # it may read any of them
                    self.scope.used |= self.maps

    def _check_name(self, name: tree.Name) -> None:
        if name.id in MAKERS:
            message = f"`{name.spelling}` makes schemes of schemes and cannot be a name"
        elif name.id in library():
            message = f"a scheme `{name.spelling}` ships with odenet"
        elif name.id in self._known or name.id in self._made:
            message = f"a scheme `{name.spelling}` is defined already"
        else:
            return
        self.report.error("name-taken", message, name.span, "choose another name")

    def own(self) -> dict[str, Scheme]:
        """The schemes of the files, but for those with an error."""
        return {name: scheme for name, scheme in self._known.items() if scheme is not None}

    def find(self, name: tree.Name) -> Scheme:
        """A scheme by name; raises Rejected."""
        if name.id in self._made and name.id not in self._known:
            self._make(self._made[name.id])
        if name.id in self._known:
            scheme = self._known[name.id]
            if scheme is None:
                raise Rejected
            return scheme
        if name.id in library():
            return library_scheme(name.id)
        if name.id in MAKERS:
            message = f"`{name.id}` makes a scheme of others"
            self.report.reject("composition", message, name.span, f"write `{MAKERS[name.id]}`")
        if not self.scope.incomplete:
            known = sorted([*library(), *self._known, *self._made])
            help_ = help_for_name("scheme", name.spelling, known)
            help_ = help_ or f"known: {', '.join(known)}; or write `scheme {name.id} {{ … }}`"
            self.report.error("unknown-scheme", f"unknown scheme `{name.id}`", name.span, help_)
        raise Rejected

    def made(self, node: tree.Value) -> Scheme:
        """A scheme that is made where it is used; raises Rejected."""
        name = tree.Name("this", "this", span=node.span)
        block = tree.Scheme(name, None, (), span=node.span)
        scope = SchemeScope(block, self.report, self.maps)
        return Maker(self.find, self.invert, scope, self.report).scheme(node)

    def _make(self, statement: tree.MadeScheme) -> None:
        """Make a scheme of the file; what is wrong with it is reported once."""
        name = statement.name
        if name.id in self._being_made:
            message = f"the scheme `{name.spelling}` is made of itself"
            help_ = "name another scheme in it"
            self.report.reject("circular-definition", message, name.span, help_)
        self._being_made.append(name.id)
        before = self.report.errors
        try:
            scheme = made_scheme(statement, self.find, self.invert, self.maps, self.report)
            self._known[name.id] = scheme if self.report.errors == before else None
        except Rejected:
            self._known[name.id] = None
        self._being_made.pop()
