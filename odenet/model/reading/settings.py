"""Values from outside the file, as `--set` gives them."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from odenet.diagnostics import Rejected, Report, Source, Span
from odenet.language import canonical, parse_setting, tree
from odenet.model.elaboration.scope import SpecScope
from odenet.model.elaboration.values import Values
from odenet.model.tables.also_called import meant
from odenet.model.tables.recipe import Entry

# A value of a setting; a mapping is a call, by its name.
Given: TypeAlias = "str | float | Fraction | Sequence[Given] | Mapping[str, Sequence[Any]]"


class Settings:
    """Numbers of `let`, constants of the scheme and keys of the recipe, taken as they are found.

    Args:
        given: the values by name; a text is read as it would be in the file. A mapping is a call
            whose arguments are taken as they are, and not read: `{"folder": ["my pictures"]}`.
        report: takes what is wrong.
    """

    def __init__(self, given: Mapping[str, Given], report: Report):
        self.report = report
        self._left: dict[str, tree.Setting] = {}
        for name, value in given.items():
            if isinstance(value, Mapping):
                setting = _call(name, value)
            else:
                setting = parse_setting(Source("--set", f"{name}={_literal(value)}"), report)
            if setting is not None:
                self._left[setting.key.id] = setting

    def apply_to_lets(self, scope: SpecScope) -> None:
        """Settings that name a `let` replace its value."""
        for name in [name for name in self._left if name in scope.lets]:
            scope.settings[name] = self._left.pop(name).value

    def take(self, names: Iterable[str], values: Values) -> list[Entry]:
        """The settings of some names, read; what cannot be read is reported and left out."""
        found: list[Entry] = []
        for name in [name for name in self._left if name in set(names)]:
            setting = self._left.pop(name)
            try:
                value = values.value(setting.value)
            except Rejected:
                continue
            found.append(Entry(name, value, setting.key.span, setting.value.span))
        return found

    def report_rest(self, scope: SpecScope, known: Iterable[str]) -> None:
        """Report the settings that nothing took."""
        names = [let.name.spelling for let in scope.lets.values()]
        for name, setting in self._left.items():
            shown = setting.key.spelling
            if name in scope.declared:
                message = f"`{shown}` is not a number that can be set"
            else:
                message = f"nothing that can be set is called `{shown}`"
            near = meant("key", shown, [*names, *known])
            have = ", ".join([*names, *known])
            self.report.error(
                "bad-setting", message, setting.key.span, help=near or f"this file has {have}"
            )


def data_setting(data: str) -> str | dict[str, list[str]]:
    """A data set as a setting: `folder:PATH` with its path as it is, whatever it holds."""
    name, colon, path = data.partition(":")
    return {name: [path]} if colon else data


def _literal(value: Given) -> str:
    """A Python value as it is written in a file; a text is left as it is."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value)


def _call(key: str, value: Mapping[str, Sequence[Any]]) -> tree.Setting:
    """A setting whose value is a call; no text is read, so that its arguments may be any."""
    ((name, given),) = value.items()
    shown = ", ".join(f'"{" ".join(item.split())}"' if isinstance(item, str) else str(item)
                      for item in given)  # fmt: skip
    span = Span(text := Source("--set", f"{key}={name}({shown})"), 0, len(text.text))
    arguments = tuple(
        tree.Argument(
            None,
            tree.Text(item, span=span)
            if isinstance(item, str)
            else tree.Number(Fraction(item), str(item), span=span),
            span=span,
        )
        for item in given
    )
    called = tree.Name(canonical(name), name, span=span)
    term = tree.Term((("", called), ("", tree.Group(arguments, span=span))), span=span)
    return tree.Setting(tree.Name(canonical(key), key, span=span), term, span=span)
