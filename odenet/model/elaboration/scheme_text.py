"""The text of a scheme that is being written, and its names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.model.elaboration.rewriting import substituted
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme


class NotComposed(ValueError):
    """The schemes do not go together so; says why."""


@dataclass
class SchemeText:
    """A scheme being written, for the dynamics of another one.

    Attributes:
        taken: the names that mean something in it.
    """

    like: Scheme
    taken: set[str]
    spellings: dict[str, str]
    constants: dict[str, Node | None] = field(default_factory=dict[str, Node | None])
    aux: list[str] = field(default_factory=list[str])
    starts: list[tuple[Slot, Node]] = field(default_factory=list[tuple[Slot, Node]])
    lets: dict[str, Node] = field(default_factory=dict[str, Node])
    lines: list[tuple[Slot | Stage, Node]] = field(default_factory=list[tuple[Slot | Stage, Node]])

    @classmethod
    def of(cls, scheme: Scheme) -> "SchemeText":
        """An empty text for the dynamics of a scheme."""
        names = {
            *scheme.unknowns,
            *(p.function for p in scheme.patterns),
            *scheme.implied_constants,
            "h",
        }
        return cls(scheme, names, dict(scheme.spellings))

    def fresh(self, name: str) -> str:
        """A name like this one that is not taken: `k1`, `l1`, `m1`; `Y1`, `Y2`, `Y3`."""
        stem = name.rstrip("0123456789")
        number = name[len(stem) :]
        letters = [chr(c) for c in range(ord("k"), ord("q"))] if stem == "k" and number else []
        candidates = [name, *(f"{letter}{number}" for letter in letters)]
        candidates += [f"{stem}{n}" for n in range(1, len(self.taken) + 2)]
        found = next(n for n in candidates if n not in self.taken)
        self.taken.add(found)
        return found

    def write(self, name: str) -> str:
        """The scheme as a text of the language."""
        write = Notation(OdeDialect(self.spellings))
        given = [
            write.name(key) + (f" = {write.show(value)}" if value is not None else "")
            for key, value in self.constants.items()
        ]
        lines = [f"for {write.for_line(self.like)}"]
        lines += [f"aux {', '.join(map(write.name, self.aux))}"] if self.aux else []
        for slot, value in self.starts:
            lines.append(f"start {write.name(slot.name)}[{slot.offset}] = {_started(write, value)}")
        lines += [f"let {write.name(key)} = {write.show(v)}" for key, v in self.lets.items()]
        width = max(len(write.show(target)) for target, _ in self.lines)
        lines += [f"{write.show(t):<{width}} = {write.show(value)}" for t, value in self.lines]
        head = f"{name}({', '.join(given)})" if given else name
        return "\n".join([f"scheme {head} {{", *(f"    {line}" for line in lines), "}"])


def _started(write: Notation, value: Node) -> str:
    return write.show(value).replace("[n]", "[0]").replace("[n-", "[-")


def new_stage(text: SchemeText, scheme: Scheme, target: Slot | Stage) -> Stage:
    """A new stage for the value of a line."""
    name = text.fresh(target.name + ("1" if isinstance(target, Slot) else ""))
    text.spellings[name] = spelled_like(scheme, target.name, name)
    return Stage(name)


def put(node: Node, numbers: Mapping[str, Node], named: Mapping[Node, Node]) -> Node:
    """A formula with other numbers and values."""
    return substituted(node, numbers, named.get)


def spelled_like(scheme: Scheme, old: str, new: str) -> str:
    """The spelling of a name made from another one."""
    stem = re.sub(r"\d+$", "", old)
    spelled = re.sub(r"\d+$", "", scheme.spellings.get(old, old))
    return new.replace(stem, spelled, 1) if stem and new.startswith(stem) else new
