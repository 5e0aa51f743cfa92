"""Values from outside the file, as `--set` gives them."""

from collections.abc import Iterable, Mapping
from typing import Any

from odenet.diagnostics import Report, Source, suggest
from odenet.language import parse_setting, tree
from odenet.model.meaning import Rejected
from odenet.model.recipe import Entry
from odenet.model.scope import SpecScope
from odenet.model.values import Values


class Settings:
    """Numbers of `let`, constants of the scheme and keys of the recipe, taken as they are found.

    Args:
        given: the values by name; a text is read as it would be in the file.
        report: takes what is wrong.
    """

    def __init__(self, given: Mapping[str, Any], report: Report):
        self.report = report
        self._left: dict[str, tree.Setting] = {}
        for name, value in given.items():
            source = Source("--set", f"{name}={_literal(value)}")
            setting = parse_setting(source, report)
            if setting is not None:
                self._left[setting.key.id] = setting

    def apply_to_lets(self, scope: SpecScope) -> None:
        """Settings that name a `let` replace its value."""
        for name in [name for name in self._left if name in scope.lets]:
            scope.settings[name] = self._left.pop(name).value

    def take(self, names: Iterable[str], values: Values) -> list[Entry]:
        """The settings of some names, read; what cannot be read is reported and left out."""
        found = []
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
                message = f"`{shown}` is no number that can be set"
            else:
                message = f"nothing that can be set is called `{shown}`"
            near = suggest(shown, [*names, *known])
            have = ", ".join([*names, *known])
            self.report.error(message, setting.key.span, help=near or f"this file has {have}")


def _literal(value: Any) -> str:
    """A Python value as it is written in a file; a text stands as it is."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value)
