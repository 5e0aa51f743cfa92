"""Named forms with arguments of their own, such as `sgd(lr = 0.1)` among the optimizers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

from odenet.diagnostics import Diagnostic
from odenet.model.tables.also_called import meant
from odenet.model.tables.argument_kinds import ArgumentKind, Call, Subject, describe, show

Seen = TypeVar("Seen")


class View(Mapping[str, Seen]):
    """What something makes of each row of some tables, rows added later included.

    Args:
        see: what it makes of a row.
        tables: in their order; no two have a name in common.
    """

    def __init__(self, see: Callable[[Any], Seen], *tables: Mapping[str, Any]):
        self._see, self._tables = see, tables

    def __getitem__(self, name: str) -> Seen:
        table = next((table for table in self._tables if name in table), self._tables[0])
        return self._see(table[name])

    def __iter__(self) -> Iterator[str]:
        return chain(*self._tables)

    def __len__(self) -> int:
        return sum(map(len, self._tables))


@dataclass(frozen=True)
class Parameter:
    """An argument of a form: its kind, its meaning, its default, and how it is given.

    Args:
        kind: what it takes.
        meaning: after its name, in messages.
        default: None where it must be given.
        by_name: whether it is given by name only: by position a reader takes it for another.
    """

    kind: ArgumentKind
    meaning: str
    default: Any = None
    by_name: bool = False


@dataclass(frozen=True)
class Choice:
    """One of the named forms of a table, each with its own arguments.

    Args:
        what: what the table lists, for messages ("optimizer").
        forms: name -> argument name -> parameter, in positional order.
    """

    what: str
    forms: Mapping[str, Mapping[str, Parameter]] = field(repr=False)

    def words(self) -> str:
        """The names it takes."""
        return "one of " + ", ".join(sorted(self.forms))

    def check(self, value: Any, subject: Subject) -> Any:
        """The call with every argument by name, defaults filled in."""
        if isinstance(value, str):  # from a command line: "cosine", "folder:pictures"
            name, colon, rest = value.partition(":")
            value = Call(name, (rest,) if colon else (), span=subject.span)
        if not isinstance(value, Call):
            return subject.refuse(self, f"this is {describe(value)}")
        span = value.span if value.span is not None else subject.span
        form = self.forms.get(value.name)
        if form is None:
            known = f"known: {', '.join(sorted(self.forms))}"
            message = f"unknown {self.what} `{value.name}`"
            near = meant(self.what, value.name, self.forms)
            place = value.word or span
            subject.report(Diagnostic("unknown-choice", message, place, known, label=near))
            return None
        given = _by_name(value, form, Subject(self.what, "", span, subject.report))
        return None if given is None else Call(value.name, (), given, span)

    def default(self, name: str, **given: Any) -> Call:
        """The call that a recipe has when none is written."""
        form = self.forms[name]
        return Call(name, (), {**{key: p.default for key, p in form.items()}, **given})


def _by_name(call: Call, form: Mapping[str, Parameter], subject: Subject) -> dict[str, Any] | None:
    """Check the arguments of a call against its form; None after reporting problems."""
    name, report = call.name, subject.report
    if len(call.args) > len(form):
        takes = f"it takes {', '.join(form)}" if form else "it takes none"
        place = call.place(len(form)) or subject.span
        report(Diagnostic("wrong-argument", f"too many arguments for {name}", place, takes))
        return None
    given = dict(zip(form, call.args, strict=False))
    for i, key in enumerate(given):
        if form[key].by_name:
            help_ = f"write `{key} = {show(call.args[i])}` if that is what is meant"
            message = f"`{key}` of {name} is given by name: {form[key].meaning.partition(' ')[2]}"
            report(Diagnostic("wrong-argument", message, call.place(i) or subject.span, help_))
            return None
    places = {key: call.place(i) for i, key in enumerate(given)} | dict(call.places)
    fine = True
    for key, value in call.kwargs.items():
        if key in given or key not in form:
            wrong = "given twice" if key in given else "unknown"
            takes = f"{name} takes {', '.join(form)}" if form else f"{name} takes no arguments"
            message = f"argument `{key}` of {name} is {wrong}"
            near, place = meant("argument", key, form), places.get(key, subject.span)
            report(Diagnostic("unknown-argument", message, place, takes, label=near))
            fine = False
        else:
            given[key] = value
    checked: dict[str, Any] = {}
    for key, parameter in form.items():
        place = places.get(key) or subject.span
        about = Subject(f"{key} in {name}", parameter.meaning, place, report)
        if key in given:
            checked[key] = parameter.kind.check(given[key], about)
            fine = fine and checked[key] is not None
        elif parameter.default is None and not fine:
            continue  # what is missing may be what was given another name
        elif parameter.default is None:
            about.refuse(parameter.kind, f"{key} is missing")
            fine = False
        else:
            checked[key] = parameter.default
    return checked if fine else None
