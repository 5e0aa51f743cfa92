"""Elaborates schemes that are made of others: `compose(S(h/2), adjoint(S)(h/2))`, `coupled(S)`."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from odenet.diagnostics import Report, Source, suggest
from odenet.language import parse, tree
from odenet.model.elaboration.composition import Defaults, Substep, adjoint_text, composition_text
from odenet.model.elaboration.coupling import LAMBDA, coupling_text
from odenet.model.elaboration.rewriting import H
from odenet.model.elaboration.scheme_reader import SchemeReader, elaborate_scheme
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.elaboration.scheme_text import CompositionError
from odenet.model.expressions.expr import Node
from odenet.model.typed.scheme import Scheme, Update

# The functions that make a scheme of others, with an example of each.
SCHEME_FUNCTIONS = {
    "compose": "compose(S(h/2), adjoint(S)(h/2))",
    "adjoint": "adjoint(S)",
    "coupled": "coupled(S)",
}

# Derives the lines of a scheme's inverse, or gives the reason why it has none. It is handed in,
# because odenet.derive does it, which builds on this package.
InverseOf = Callable[[Scheme], Sequence[Update] | str]
# Finds a scheme by its name; raises Rejected.
Find = Callable[[tree.Name], Scheme]


def make_scheme(
    statement: tree.MadeScheme,
    find: Find,
    inverse_of: InverseOf,
    report: Report,
    maps: Collection[str] = (),
) -> Scheme:
    """The scheme of a statement `scheme NAME(…) = compose(…)`; raises Rejected.

    Args:
        statement: the statement.
        find: finds a scheme by its name.
        inverse_of: gives the lines of the inverse of a scheme, or why it has none.
        report: collects the errors.
        maps: the names of the file's maps, which schemes may read.
    """
    scope = SchemeReader(statement.without_rules, report, maps)
    constants = dict(scope.read_constants())
    maker = SchemeMaker(find, inverse_of, scope, report)
    return maker.scheme(statement.value, statement.name.id, constants)


def split_made_scheme(node: tree.Value) -> tuple[tree.Value, tree.Group | None] | None:
    """Split `compose(…)(h = 0.1)` into `compose(…)` and the brackets after it, if there are any.

    None for a scheme that is only named, such as `verlet(h = 0.1)`.
    """
    match node:
        case tree.Term(((_, tree.Name() as name), ("", tree.Group() as arguments), *_)):
            if name.id not in SCHEME_FUNCTIONS:
                return None
            head = tree.Term(node.factors[:2], span=name.span.to(arguments.span))
            match list(node.factors[2:]):
                case []:
                    return head, None
                case [("", tree.Group() as constants)]:
                    return head, constants
                case _:
                    return None
        case _:
            return None


class SchemeMaker:
    """Makes schemes of other schemes.

    Args:
        find: finds a scheme by its name; raises Rejected.
        inverse_of: gives the lines of the inverse of a scheme, or why it has none.
        scope: the scope of the formulas for step sizes and constants.
        report: collects the errors.
    """

    def __init__(self, find: Find, inverse_of: InverseOf, scope: SchemeScope, report: Report):
        self.find = find
        self.inverse_of = inverse_of
        self.scope = scope
        self.report = report

    def scheme(self, node: tree.Value, name: str = "", constants: Defaults | None = None) -> Scheme:
        """The scheme that an expression names or makes; raises Rejected.

        Args:
            node: the expression.
            name: the name of the result; by default the text of the expression.
            constants: the constants of the result, with defaults; substeps may refer to them.
        """
        if isinstance(node, tree.Name):
            return self.find(node)
        function, arguments = self._function_and_arguments(node)
        node_text = " ".join(node.span.text.split())
        title = name or re.sub(r"\W+", "_", node_text).strip("_")
        try:
            if function == "compose":
                substeps = [self._substep(argument) for argument in arguments]
                text = composition_text(title, substeps, constants or {})
            else:
                text = self._adjoint_or_coupling(title, function, arguments[0], constants or {})
        except CompositionError as error:
            self.report.reject("composition", str(error), node.span)
        return self._parse_generated(node, node_text, text, name)

    def _function_and_arguments(self, node: tree.Value) -> tuple[str, tuple[tree.Argument, ...]]:
        """The function, such as `compose`, and the arguments of a call; raises Rejected."""
        match node:
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group))):
                if name.id in SCHEME_FUNCTIONS:
                    for argument in (a for a in group.arguments if a.name is not None):
                        message = "the parts of a scheme have no names"
                        self.report.reject("composition", message, argument.span)
                    takes_one = name.id != "compose"
                    if not group.arguments or (takes_one and len(group.arguments) != 1):
                        message = f"`{name.id}` takes {'one scheme' if takes_one else 'schemes'}"
                        help_ = f"write `{SCHEME_FUNCTIONS[name.id]}`"
                        self.report.reject("composition", message, group.span, help_)
                    return name.id, group.arguments
                suggestion = suggest(name.spelling, [*SCHEME_FUNCTIONS])
                help_ = suggestion or f"a part belongs in `compose({name.spelling}(…), …)`"
            case _:
                help_ = f"write {', '.join(SCHEME_FUNCTIONS.values())}"
        self.report.reject("composition", "a scheme is wanted here", node.span, help_)

    def _adjoint_or_coupling(
        self, title: str, function: str, argument: tree.Argument, constants: Defaults
    ) -> str:
        """The text of the adjoint or the coupling of the scheme that an argument gives."""
        substep = self._substep(argument)
        scheme = substep.scheme
        weight = constants.get(LAMBDA) if function == "coupled" else None
        others = {n: v for n, v in constants.items() if weight is None or n != LAMBDA}
        if substep.step_size != H or substep.values or others:
            text = composition_text("part", [substep], others)
            scheme = self._parse_generated(argument.value, scheme.name, text, scheme.name)
        if function == "coupled":
            return coupling_text(title, scheme, weight)
        inverse = self.inverse_of(scheme)
        if isinstance(inverse, str):
            raise CompositionError(f"{scheme.name} has no adjoint that could be written: {inverse}")
        return adjoint_text(title, scheme, inverse)

    def _substep(self, argument: tree.Argument) -> Substep:
        """The scheme of an argument with its step size and constants, as in `S(h/2, γ = 0.5)`."""
        head, constants = split_made_scheme(argument.value) or (argument.value, None)
        if constants is not None:
            return self._with_constants(self.scheme(head), constants)
        match head:
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group), *_)) if (
                name.id not in SCHEME_FUNCTIONS
            ):
                return self._with_constants(self.find(name), group)
            case _:
                return Substep(self.scheme(head))

    def _with_constants(self, scheme: Scheme, group: tree.Group) -> Substep:
        """A scheme with the step size and the constants that the brackets after it give."""
        step_size: Node = H
        values: dict[str, Node] = {}
        implied = scheme.implied_constants
        constant_names = [name for name, _ in scheme.constants if name not in implied]
        for index, argument in enumerate(group.arguments):
            value = self.scope.elaborator.scalar(argument.value)
            if argument.name is None or argument.name.id == "h":
                if index:
                    help_ = f"write `{scheme.name}(h/2, …)`"
                    message = "the step size comes first"
                    self.report.reject("composition", message, argument.span, help_)
                step_size = value
            elif argument.name.id in constant_names:
                values[argument.name.id] = value
            else:
                message = f"{scheme.name} has no constant `{argument.name.spelling}`"
                spellings = [scheme.spellings.get(name, name) for name in constant_names]
                help_ = f"it has {', '.join(spellings)}" if spellings else "it has none"
                self.report.reject("composition", message, argument.name.span, help_)
        if not any(n == H for n in step_size.walk()) and scheme.uses_step_size:
            message = "the step size of a part is a share of h"
            self.report.reject("composition", message, group.span, f"write `{scheme.name}(h/2)`")
        return Substep(scheme, step_size, values)

    def _parse_generated(self, node: tree.Value, node_text: str, text: str, name: str) -> Scheme:
        """Parse the generated text of a scheme.

        Args:
            node: the expression that it was generated for.
            node_text: the text of that expression.
            text: the generated text.
            name: the name of the scheme; by default `node_text`.
        """
        report = Report()
        (block,) = parse(Source(node_text, text), report).statements_of(tree.Scheme)
        scheme = elaborate_scheme(block, report, self.scope.maps)
        if scheme is None:
            first_message = report.diagnostics[0].message
            message = f"these schemes do not go together: {first_message}"
            self.report.reject("composition", message, node.span)
        return scheme if name else replace(scheme, name=node_text)
