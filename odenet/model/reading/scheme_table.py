"""The schemes that a file can use: its own, those of the files that it uses, and the library."""

from collections.abc import Sequence

from odenet.diagnostics import Rejected
from odenet.language import tree
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.elaboration.made_schemes import (
    SCHEME_FUNCTIONS,
    InverseOf,
    SchemeMaker,
    make_scheme,
)
from odenet.model.elaboration.scheme_reader import elaborate_scheme
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.scheme import Scheme


class SchemeTable:
    """Finds schemes by name, and makes those that are made of others, such as `compose(…)`.

    Args:
        files: the files that define schemes; the last one is the file itself, whose maps the
            schemes may read.
        scope: the names of the file, and the report that collects the errors.
        inverse_of: gives the lines of the inverse of a scheme, for `adjoint(…)`.
    """

    def __init__(self, files: Sequence[tree.File], scope: SpecScope, inverse_of: InverseOf):
        self.scope = scope
        self.inverse_of = inverse_of
        self.maps = {statement.name.id for statement in files[-1].statements_of(tree.Map)}
        self.report = scope.report
        self._schemes: dict[str, Scheme | None] = {}  # None for one with an error
        self._statements: dict[str, tree.MadeScheme] = {}  # of schemes that are made of others
        self._in_progress: list[str] = []  # the schemes being made, each as a part of the previous
        for file in files:
            self._add_file(file)
        for statement in [*self._statements.values()]:
            if statement.name.id not in self._schemes:
                self._make_scheme(statement)

    def _add_file(self, file: tree.File) -> None:
        """Add the schemes of a file; those that are made of others are made when first used."""
        for statement in file.statements_of(tree.Unparsed):
            if statement.kind == "scheme" and statement.declares:
                self._schemes[statement.declares[0]] = None
        for block in (*file.statements_of(tree.Scheme), *file.statements_of(tree.MadeScheme)):
            self._check_name(block.name)
            if isinstance(block, tree.MadeScheme):
                self._statements[block.name.id] = block
            else:
                scheme = elaborate_scheme(block, self.report, self.maps)
                self._schemes[block.name.id] = scheme
                if scheme is None:  # its lines may read any of the maps
                    self.scope.used_names |= self.maps

    def _check_name(self, name: tree.Name) -> None:
        """Report the name of a new scheme that is taken already."""
        if name.id in SCHEME_FUNCTIONS:
            message = f"`{name.spelling}` makes schemes of schemes and cannot be a name"
        elif name.id in library_names():
            message = f"a scheme `{name.spelling}` ships with odenet"
        elif name.id in self._schemes or name.id in self._statements:
            message = f"a scheme `{name.spelling}` is defined already"
        else:
            return
        self.report.error("name-taken", message, name.span, "choose another name")

    def defined_schemes(self) -> dict[str, Scheme]:
        """The schemes that the files define, by name, without those with an error."""
        return {name: scheme for name, scheme in self._schemes.items() if scheme is not None}

    def find(self, name: tree.Name) -> Scheme:
        """A scheme by name; raises Rejected."""
        if name.id in self._statements and name.id not in self._schemes:
            self._make_scheme(self._statements[name.id])
        if name.id in self._schemes:
            scheme = self._schemes[name.id]
            if scheme is None:
                raise Rejected
            return scheme
        if name.id in library_names():
            return library_scheme(name.id)
        if name.id in SCHEME_FUNCTIONS:
            message = f"`{name.id}` makes a scheme of others"
            help_ = f"write `{SCHEME_FUNCTIONS[name.id]}`"
            self.report.reject("composition", message, name.span, help_)
        if not self.scope.incomplete:
            names = sorted([*library_names(), *self._schemes, *self._statements])
            help_ = help_for_name("scheme", name.spelling, names)
            help_ = help_ or f"known: {', '.join(names)}; or write `scheme {name.id} {{ … }}`"
            self.report.error("unknown-scheme", f"unknown scheme `{name.id}`", name.span, help_)
        raise Rejected

    def make(self, node: tree.Value) -> Scheme:
        """The scheme of an expression such as `compose(…)` on the `discretise` line.

        Raises Rejected after reporting an error.
        """
        name = tree.Name("this", "this", span=node.span)  # it has no name of its own
        block = tree.Scheme(name, constants=None, rules=(), span=node.span)
        scope = SchemeScope(block, self.report, self.maps)
        return SchemeMaker(self.find, self.inverse_of, scope, self.report).scheme(node)

    def _make_scheme(self, statement: tree.MadeScheme) -> None:
        """Make a scheme that a statement defines; raises Rejected if it is made of itself."""
        name = statement.name
        if name.id in self._in_progress:
            message = f"the scheme `{name.spelling}` is made of itself"
            help_ = "name another scheme in it"
            self.report.reject("circular-definition", message, name.span, help_)
        self._in_progress.append(name.id)
        errors_before = self.report.error_count
        try:
            scheme = make_scheme(statement, self.find, self.inverse_of, self.report, self.maps)
            self._schemes[name.id] = scheme if self.report.error_count == errors_before else None
        except Rejected:
            self._schemes[name.id] = None
        self._in_progress.pop()
