"""The parameters of calls, as in `conv(3, 16)`, and values that are calls, `optimizer = sgd(…)`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

from odenet.diagnostics import Diagnostic
from odenet.model.tables.argument_kinds import ArgumentKind, Call, Subject, describe, show
from odenet.model.tables.synonyms import help_for_name

Result = TypeVar("Result")


class MappedTables(Mapping[str, Result]):
    """One mapping for several tables, name -> function(row); rows added later are in it too.

    Args:
        function: gives the value for a row.
        tables: in order; no two have a name in common.
    """

    def __init__(self, function: Callable[[Any], Result], *tables: Mapping[str, Any]):
        self._function, self._tables = function, tables

    def __getitem__(self, name: str) -> Result:
        table = next((table for table in self._tables if name in table), self._tables[0])
        # a name that no table has is a KeyError of the first
        return self._function(table[name])

    def __iter__(self) -> Iterator[str]:
        return chain(*self._tables)

    def __len__(self) -> int:
        return sum(map(len, self._tables))


@dataclass(frozen=True)
class Parameter:
    """A parameter of a call: what values it takes, what they mean, and its default.

    Args:
        kind: checks a value.
        meaning: what a message says after its name, as in "is the learning rate".
        default: None if it has to be given.
        by_name: whether it is given by name only, because its position could be mistaken.
    """

    kind: ArgumentKind
    meaning: str
    default: Any = None
    by_name: bool = False


@dataclass(frozen=True)
class Choice:
    """An argument that is a call with one of several names, as `optimizer = sgd(lr = 0.1)`.

    Args:
        noun: what the names are called in messages, such as "optimizer".
        forms: name of the call -> its parameters by name, in positional order.
    """

    noun: str
    forms: Mapping[str, Mapping[str, Parameter]] = field(repr=False)

    def description(self) -> str:
        """The accepted names, for a message."""
        return "one of " + ", ".join(sorted(self.forms))

    def check(self, value: Any, subject: Subject) -> Any:
        """The call with all arguments by name, with defaults; None after reporting problems."""
        if isinstance(value, str):  # from the command line, as in "cosine" or "folder:pictures"
            name, colon, rest = value.partition(":")
            value = Call(name, (rest,) if colon else (), span=subject.span)
        if not isinstance(value, Call):
            return subject.refuse(self, f"this is {describe(value)}")
        span = value.span if value.span is not None else subject.span
        form = self.forms.get(value.name)
        if form is None:
            known = f"known: {', '.join(sorted(self.forms))}"
            message = f"unknown {self.noun} `{value.name}`"
            hint = help_for_name(self.noun, value.name, self.forms)
            name_span = value.name_span or span
            subject.report(Diagnostic("unknown-choice", message, name_span, known, label=hint))
            return None
        arguments = _checked(value, form, replace(subject, name=self.noun, meaning="", span=span))
        return None if arguments is None else Call(value.name, (), arguments, span)

    def default(self, name: str, **changes: Any) -> Call:
        """A call with the default arguments, except for `changes`."""
        form = self.forms[name]
        return Call(name, (), {**{key: p.default for key, p in form.items()}, **changes})


def _checked(call: Call, form: Mapping[str, Parameter], subject: Subject) -> dict[str, Any] | None:
    """The checked arguments of a call, by name; None after reporting problems."""
    name, report = call.name, subject.report
    if len(call.args) > len(form):
        accepted = f"it takes {', '.join(form)}" if form else "it takes none"
        span = call.argument_span(len(form)) or subject.span
        report(Diagnostic("wrong-argument", f"too many arguments for {name}", span, accepted))
        return None
    arguments = dict(zip(form, call.args, strict=False))
    for i, key in enumerate(arguments):
        if form[key].by_name:
            help_ = f"write `{key} = {show(call.args[i])}` if that is what is meant"
            message = f"`{key}` of {name} is given by name: {form[key].meaning.partition(' ')[2]}"
            span = call.argument_span(i) or subject.span
            report(Diagnostic("wrong-argument", message, span, help_))
            return None
    spans = {k: call.argument_span(i) for i, k in enumerate(arguments)} | dict(call.argument_spans)
    valid = True
    for key, value in call.kwargs.items():
        if key in arguments or key not in form:
            problem = "given twice" if key in arguments else "unknown"
            accepted = f"{name} takes {', '.join(form)}" if form else f"{name} takes no arguments"
            message = f"argument `{key}` of {name} is {problem}"
            hint, span = help_for_name("argument", key, form), spans.get(key, subject.span)
            report(Diagnostic("unknown-argument", message, span, accepted, label=hint))
            valid = False
        else:
            arguments[key] = value
    checked: dict[str, Any] = {}
    for key, parameter in form.items():
        span = spans.get(key) or subject.span
        argument = Subject(f"{key} in {name}", parameter.meaning, span, report)
        if key in arguments:
            checked[key] = parameter.kind.check(arguments[key], argument)
            valid = valid and checked[key] is not None
        elif parameter.default is None and not valid:
            continue  # it may have been given under a wrong name, which is reported
        elif parameter.default is None:
            argument.refuse(parameter.kind, f"{key} is missing")
            valid = False
        else:
            checked[key] = parameter.default
    return checked if valid else None
