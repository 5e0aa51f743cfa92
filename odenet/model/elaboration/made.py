"""Schemes made of schemes, read: `compose(S(h/2), adjoint(S)(h/2))`, `adjoint(S)`, `coupled(S)`."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from odenet.diagnostics import Report, Source, suggest
from odenet.language import parse, tree
from odenet.model.elaboration.composition import Part, adjoint, composed
from odenet.model.elaboration.coupling import LAMBDA, coupled
from odenet.model.elaboration.rewriting import H
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.elaboration.scheme_text import NotComposed
from odenet.model.elaboration.schemes import SchemeReader, elaborate_scheme
from odenet.model.expressions.expr import Node
from odenet.model.typed.scheme import Scheme, Update

MAKERS = {
    "compose": "compose(S(h/2), adjoint(S)(h/2))",
    "adjoint": "adjoint(S)",
    "coupled": "coupled(S)",
}

# The lines of a scheme's inverse, or why it has none: it is derived by a later stage.
Invert = Callable[[Scheme], Sequence[Update] | str]
Find = Callable[[tree.Name], Scheme]


def made_scheme(
    statement: tree.MadeScheme, find: Find, invert: Invert, maps: Collection[str], report: Report
) -> Scheme:
    """The scheme that `scheme NAME(…) = compose(…)` makes; raises Rejected."""
    scope = SchemeReader(statement.block, report, maps)
    constants = dict(scope.read_constants())
    return Maker(find, invert, scope, report).scheme(statement.value, statement.name.id, constants)


def split_use(node: tree.Value) -> tuple[tree.Value, tree.Group | None] | None:
    """What makes a scheme, and the brackets after it; None for a plain scheme."""
    match node:
        case tree.Term(((_, tree.Name() as name), ("", tree.Group() as made), *_)):
            if name.id not in MAKERS:
                return None
            head = tree.Term(node.factors[:2], span=name.span.to(made.span))
            match list(node.factors[2:]):
                case []:
                    return head, None
                case [("", tree.Group() as group)]:
                    return head, group
                case _:
                    return None
        case _:
            return None


class Maker:
    """Makes schemes of those that it finds.

    Args:
        find: a scheme by its name; raises Rejected.
        invert: the inverse of a scheme.
        scope: what the numbers in step sizes and constants mean.
        report: takes what is wrong.
    """

    def __init__(self, find: Find, invert: Invert, scope: SchemeScope, report: Report):
        self.find = find
        self.invert = invert
        self.scope = scope
        self.report = report

    def scheme(
        self, node: tree.Value, name: str = "", constants: Mapping[str, Node | None] | None = None
    ) -> Scheme:
        """A scheme by name, or made of others; raises Rejected.

        Args:
            node: what is written.
            name: of the result; by default what is written.
            constants: of the result, to which its parts may refer.
        """
        if isinstance(node, tree.Name):
            return self.find(node)
        maker, arguments = self._maker(node)
        shown = " ".join(node.span.text.split())
        title = name or re.sub(r"\W+", "_", shown).strip("_")
        try:
            if maker == "compose":
                text = composed(title, [self._part(a) for a in arguments], constants or {})
            else:
                text = self._of_one(title, maker, arguments[0], constants or {})
        except NotComposed as error:
            self.report.reject("composition", str(error), node.span)
        return self._read(node, shown, text, name)

    def _maker(self, node: tree.Value) -> tuple[str, tuple[tree.Argument, ...]]:
        match node:
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group))):
                if name.id in MAKERS:
                    for argument in (a for a in group.arguments if a.name is not None):
                        message = "the parts of a scheme have no names"
                        self.report.reject("composition", message, argument.span)
                    one = name.id != "compose"
                    if not group.arguments or (one and len(group.arguments) != 1):
                        message = f"`{name.id}` takes {'one scheme' if one else 'schemes'}"
                        help_ = f"write `{MAKERS[name.id]}`"
                        self.report.reject("composition", message, group.span, help_)
                    return name.id, group.arguments
                near = suggest(name.spelling, [*MAKERS])
                help_ = near or f"a part belongs in `compose({name.spelling}(…), …)`"
            case _:
                help_ = f"write {', '.join(MAKERS.values())}"
        self.report.reject("composition", "a scheme is wanted here", node.span, help_)

    def _of_one(
        self,
        title: str,
        maker: str,
        argument: tree.Argument,
        constants: Mapping[str, Node | None],
    ) -> str:
        part = self._part(argument)
        scheme = part.scheme
        weight = constants.get(LAMBDA) if maker == "coupled" else None
        others = {n: v for n, v in constants.items() if weight is None or n != LAMBDA}
        if part.step != H or part.values or others:
            text = composed("part", [part], others)
            scheme = self._read(argument.value, scheme.name, text, scheme.name)
        if maker == "coupled":
            return coupled(title, scheme, weight)
        lines = self.invert(scheme)
        if isinstance(lines, str):
            raise NotComposed(f"{scheme.name} has no adjoint that could be written: {lines}")
        return adjoint(title, scheme, lines)

    def _part(self, argument: tree.Argument) -> Part:
        """`S`, `S(h/2)`, `adjoint(S)(h/2, γ = 0.5)`."""
        made, applied = split_use(argument.value) or (argument.value, None)
        if applied is not None:
            return self._applied(self.scheme(made), applied)
        match made:
            case tree.Term(((_, tree.Name() as name), ("", tree.Group() as group), *_)) if (
                name.id not in MAKERS
            ):
                return self._applied(self.find(name), group)
            case _:
                return Part(self.scheme(made))

    def _applied(self, scheme: Scheme, group: tree.Group) -> Part:
        """A scheme with a step size and constants of its own."""
        step: Node = H
        values: dict[str, Node] = {}
        known = [name for name, _ in scheme.constants if name not in scheme.implied_constants]
        for index, argument in enumerate(group.arguments):
            value = self.scope.elaborator.scalar(argument.value)
            if argument.name is None or argument.name.id == "h":
                if index:
                    help_ = f"write `{scheme.name}(h/2, …)`"
                    message = "the step size comes first"
                    self.report.reject("composition", message, argument.span, help_)
                step = value
            elif argument.name.id in known:
                values[argument.name.id] = value
            else:
                message = f"{scheme.name} has no constant `{argument.name.spelling}`"
                shown = [scheme.spellings.get(name, name) for name in known]
                help_ = f"it has {', '.join(shown)}" if shown else "it has none"
                self.report.reject("composition", message, argument.name.span, help_)
        if not any(n == H for n in step.walk()) and scheme.uses_step_size:
            message = "the step size of a part is a share of h"
            self.report.reject("composition", message, group.span, f"write `{scheme.name}(h/2)`")
        return Part(scheme, step, values)

    def _read(self, node: tree.Value, shown: str, text: str, name: str) -> Scheme:
        """The scheme of a text that was made."""
        report = Report()
        (block,) = parse(Source(shown, text), report).statements_of(tree.Scheme)
        scheme = elaborate_scheme(block, report, self.scope.maps)
        if scheme is None:
            wrong = report.diagnostics[0].message
            message = f"these schemes do not go together: {wrong}"
            self.report.reject("composition", message, node.span)
        return scheme if name else replace(scheme, name=shown)
