"""Writes the source text of a scheme that is made of others."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.model.elaboration.rewriting import substitute
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme


class CompositionError(ValueError):
    """Raised where schemes cannot be composed or coupled; the message says why."""


@dataclass
class SchemeWriter:
    """Collects the parts of a new scheme for the same dynamics as a given one, and writes its text.

    Attributes:
        base: the given scheme, whose `for` line is written.
        taken_names: the names that have a meaning in the new scheme.
        spellings: canonical name -> how it is written.
        constants: name -> default, or None without one.
        aux: the names of auxiliary unknowns.
        starts: the values before the first step.
        lets: name -> formula.
        lines: the lines of the step, each a target and its value.
    """

    base: Scheme
    taken_names: set[str]
    spellings: dict[str, str]
    constants: dict[str, Node | None] = field(default_factory=dict[str, Node | None])
    aux: list[str] = field(default_factory=list[str])
    starts: list[tuple[Slot, Node]] = field(default_factory=list[tuple[Slot, Node]])
    lets: dict[str, Node] = field(default_factory=dict[str, Node])
    lines: list[tuple[Slot | Stage, Node]] = field(default_factory=list[tuple[Slot | Stage, Node]])

    @classmethod
    def of(cls, scheme: Scheme) -> "SchemeWriter":
        """A writer for the dynamics of a scheme, without constants and lines."""
        functions = (pattern.function for pattern in scheme.patterns)
        names = {*scheme.unknowns, *functions, *scheme.implied_constants, "h"}
        return cls(scheme, names, dict(scheme.spellings))

    def fresh_name(self, name: str) -> str:
        """Reserve a name like `name` that is not taken: `k1`, `l1`, `m1`; `Y1`, `Y2`, `Y3`."""
        stem = name.rstrip("0123456789")
        number = name[len(stem) :]
        letters = [chr(c) for c in range(ord("k"), ord("q"))] if stem == "k" and number else []
        candidates = [name, *(f"{letter}{number}" for letter in letters)]
        candidates += [f"{stem}{n}" for n in range(1, len(self.taken_names) + 2)]
        fresh = next(n for n in candidates if n not in self.taken_names)
        self.taken_names.add(fresh)
        return fresh

    def write(self, name: str) -> str:
        """The source text of the scheme, under a name."""
        notation = Notation(OdeDialect(self.spellings))
        constants = [
            notation.name(n) + (f" = {notation.show(value)}" if value is not None else "")
            for n, value in self.constants.items()
        ]
        lines = [f"for {notation.for_line(self.base)}"]
        lines += [f"aux {', '.join(map(notation.name, self.aux))}"] if self.aux else []
        for slot, value in self.starts:
            text = _start_text(notation, value)
            lines.append(f"start {notation.name(slot.name)}[{slot.offset}] = {text}")
        lines += [f"let {notation.name(n)} = {notation.show(v)}" for n, v in self.lets.items()]
        width = max(len(notation.show(target)) for target, _ in self.lines)
        lines += [f"{notation.show(t):<{width}} = {notation.show(v)}" for t, v in self.lines]
        head = f"{name}({', '.join(constants)})" if constants else name
        return "\n".join([f"scheme {head} {{", *(f"    {line}" for line in lines), "}"])


def _start_text(notation: Notation, value: Node) -> str:
    """The source text of a `start` value: `Y[n]` is `Y[0]`, since n = 0 there."""
    return notation.show(value).replace("[n]", "[0]").replace("[n-", "[-")


def new_stage(writer: SchemeWriter, scheme: Scheme, target: Slot | Stage) -> Stage:
    """A new stage, named like the target of a line, for the value of that line."""
    name = writer.fresh_name(target.name + ("1" if isinstance(target, Slot) else ""))
    writer.spellings[name] = derived_spelling(scheme, target.name, name)
    return Stage(name)


def substitute_values(node: Node, numbers: Mapping[str, Node], values: Mapping[Node, Node]) -> Node:
    """A formula with constants replaced by `numbers`, and slots and stages by `values`."""
    return substitute(node, numbers, values.get)


def derived_spelling(scheme: Scheme, old: str, new: str) -> str:
    """The spelling of the name `new`, which was made of the name `old` of a scheme."""
    stem = re.sub(r"\d+$", "", old)
    spelled_stem = re.sub(r"\d+$", "", scheme.spellings.get(old, old))
    return new.replace(stem, spelled_stem, 1) if stem and new.startswith(stem) else new
