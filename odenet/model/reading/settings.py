"""Values from outside the file, as `--set` gives them."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeAlias, cast

from odenet.diagnostics import Diagnostic, Rejected, Report, Source, Span, SpecError
from odenet.language import canonical, parse_setting, tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.elaboration.scope import SpecScope
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.choices import Choice
from odenet.model.tables.recipe import OPTIMIZERS, Recipe, recipe_keys
from odenet.model.tables.recipe_checks import RecipeSetting
from odenet.model.tables.synonyms import help_for_name

# A value of a setting; a mapping is a call, by its name.
Given: TypeAlias = "str | float | Fraction | Sequence[Given] | Mapping[str, Sequence[Any]]"


OPTIMIZER = "optimizer"  # whose arguments may be set by their names alone
LENGTH = {"epochs", "steps"}  # keys that both say how long training takes


class Settings:
    """Numbers of `let`, constants of the scheme and keys of the recipe, taken as they are found.

    `optimizer.lr` is one argument of what a key of the recipe is; `lr` alone is short for it.

    Args:
        given: the values by name; a text is read as it would be in the file. A mapping is a call
            whose arguments are taken as they are, and not read: `{"folder": ["my pictures"]}`.
        report: takes what is wrong.
    """

    def __init__(self, given: Mapping[str, Given], report: Report):
        self.report = report
        self._left: dict[str, tree.Setting] = {}
        self._parts: list[tuple[str, tree.Setting]] = []  # each with the key that it is a part of
        for name, value in given.items():
            key, dot, argument = name.partition(".")
            if isinstance(value, Mapping):
                setting = _call(name, value)
            else:
                shown = argument if dot else name
                setting = parse_setting(Source("--set", f"{shown}={_literal(value)}"), report)
            if setting is not None and dot:
                self._parts.append((canonical(key), setting))
            elif setting is not None:
                self._left[setting.key.id] = setting

    def apply_to_lets(self, scope: SpecScope) -> None:
        """Settings that name a `let` replace its value."""
        for name in [name for name in self._left if name in scope.lets]:
            scope.settings[name] = self._left.pop(name).value

    def take(self, names: Iterable[str], arguments: ArgumentReader) -> list[RecipeSetting]:
        """The settings of some names, read; what cannot be read is reported and left out."""
        found: list[RecipeSetting] = []
        for name in [name for name in self._left if name in set(names)]:
            setting = self._left.pop(name)
            try:
                value = arguments.value(setting.value)
            except Rejected:
                continue
            found.append(RecipeSetting(name, value, setting.key.span, setting.value.span))
        return found

    def take_parts(
        self, entries: list[RecipeSetting], arguments: ArgumentReader
    ) -> list[RecipeSetting]:
        """The entries of a recipe with single arguments of theirs replaced.

        Args:
            entries: what the recipe says.
            arguments: reads what is set.
        """
        keys = recipe_keys()
        recipe = {e.key: e for e in entries}  # of two for a key, which is reported, the last
        optimizer = _whole(OPTIMIZER, recipe).value
        for name in [n for n in self._left if n in _form(OPTIMIZER, optimizer)]:
            self._parts.append((OPTIMIZER, self._left.pop(name)))
        for key, setting in self._parts:
            if key not in keys:
                known = help_for_name("key", key, keys) or "a part of a key, as in optimizer.lr=0.1"
                message = f"the recipe has no key `{key}`, whose `{setting.key.spelling}` this is"
                self.report.error("bad-setting", message, setting.key.span, known)
                continue
            with suppress(Rejected):
                entry = _whole(key, recipe)
                recipe[key] = self._with_part(entry, setting, arguments.value(setting.value))
                entries = [e for e in entries if e is not entry] + [recipe[key]]
        self._parts = []
        return entries

    def _with_part(self, entry: RecipeSetting, setting: tree.Setting, value: Any) -> RecipeSetting:
        """An entry whose value is a call with one of its arguments replaced; raises Rejected."""
        name, place = setting.key.id, setting.value.span
        call = Call(entry.value) if isinstance(entry.value, str) else entry.value
        if not isinstance(call, Call) or not isinstance(recipe_keys()[entry.key].kind, Choice):
            message = f"`{entry.key}` has no arguments, so no `{setting.key.spelling}`"
            help_ = f"set it whole: {entry.key}=…"
            self.report.reject("bad-setting", message, setting.key.span, help_)
        order = list(_form(entry.key, call))
        at = order.index(name) if name in order else len(call.args)
        args, kwargs, places = list(call.args), dict(call.kwargs), dict(call.argument_spans)
        if at < len(args):
            args[at], places[at] = value, place
        else:
            kwargs[name], places[name] = value, place
        call = replace(call, args=tuple(args), kwargs=kwargs, argument_spans=places)
        call = call if call.span is not None else replace(call, span=setting.key.span)
        return RecipeSetting(
            entry.key, call, entry.key_span or setting.key.span, entry.value_span or place
        )

    def report_rest(self, scope: SpecScope, known: Iterable[str]) -> None:
        """Report the settings that nothing took."""
        names = [let.name.spelling for let in scope.lets.values()]
        read = scope.read_lets()
        for name, value in scope.settings.items():
            if name not in read:
                message = f"nothing uses `{name}`, so setting it changes nothing"
                self.report.error("bad-setting", message, value.span, "leave it out")
        for name, setting in self._left.items():
            shown = setting.key.spelling
            if name in scope.declared:
                message = f"`{shown}` is not a number that can be set"
            else:
                message = f"nothing that can be set is called `{shown}`"
            near = help_for_name("key", shown, [*names, *known])
            have = ", ".join([*names, *known])
            help_ = near or f"this file has {have}"
            self.report.error("bad-setting", message, setting.key.span, help_)


def _form(key: str, value: Any) -> Mapping[str, Any]:
    """The arguments of a call that is the value of a key; empty for what takes none."""
    kind = recipe_keys()[key].kind
    name = value.name if isinstance(value, Call) else value
    return kind.forms.get(name, {}) if isinstance(kind, Choice) and isinstance(name, str) else {}


def _whole(key: str, recipe: Mapping[str, RecipeSetting]) -> RecipeSetting:
    """What a recipe says of a key, or its default."""
    return recipe[key] if key in recipe else RecipeSetting(key, getattr(Recipe(), key))


def without_parts(
    before: Mapping[str, Given], changes: Mapping[str, Given], own: Collection[str]
) -> dict[str, Given]:
    """Settings under later ones, which replace their parts too.

    Args:
        before: the earlier ones.
        changes: the later ones: `optimizer` replaces `optimizer.lr` and `lr`, and these each other;
            `steps` replaces `epochs`, and these each other.
        own: names that the spec itself declares: there `lr` is another number.
    """
    forms = OPTIMIZERS.forms.values()
    short = {argument for form in forms for argument in form if argument not in own}

    def full(name: str) -> str:
        return f"{OPTIMIZER}.{name}" if name in short else name

    later = set(map(full, changes))
    if later & LENGTH - {*own}:
        later |= LENGTH - {*own}
    kept = {
        name: value
        for name, value in before.items()
        if full(name) not in later and full(name).partition(".")[0] not in later
    }
    return {**kept, **changes}


def data_setting(data: str) -> str | dict[str, list[str]]:
    """A data set as a setting: `folder:PATH` with its path as it is, whatever it holds."""
    name, colon, path = data.partition(":")
    return {name: [path]} if colon else data


def setting_words(name: str, value: Given) -> list[str]:
    """The words of a command line that give a setting."""
    if not isinstance(value, Mapping):
        return ["--set", f"{name}={_literal(value)}"]
    ((called, arguments),) = value.items()
    if name == "data" and len(arguments) == 1:
        return ["--data", f"{called}:{arguments[0]}"]  # as `data_setting` reads it
    return ["--set", _call(name, value).key.span.text]


def _literal(value: Any, quoted: bool = False) -> str:
    """A Python value in one line, as it is written in a file; a text is quoted, or as it is."""
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return f"[{', '.join(_literal(item, quoted) for item in items)}]"
    return f'"{" ".join(value.split())}"' if quoted and isinstance(value, str) else str(value)


def _call(key: str, value: Mapping[str, Sequence[Any]]) -> tree.Setting:
    """A setting whose value is a call; no text is read, so that its arguments may be any."""
    ((name, given),) = value.items()
    shown = ", ".join(_literal(item, quoted=True) for item in given)
    span = Span(text := Source("--set", f"{key}={name}({shown})"), 0, len(text.text))
    arguments = tuple(tree.Argument(None, _argument(item, span), span=span) for item in given)
    called = tree.Name(canonical(name), name, span=span)
    term = tree.Term((("", called), ("", tree.Group(arguments, span=span))), span=span)
    return tree.Setting(tree.Name(canonical(key), key, span=span), term, span=span)


def _argument(item: Any, span: Span) -> Any:
    """An argument from Python as it is in a text; raises SpecError for what no text has."""
    if isinstance(item, str):
        return tree.Text(item, span=span)
    if isinstance(item, list | tuple):
        items = cast("Sequence[Any]", item)
        return tree.ListValue(tuple(_argument(i, span) for i in items), span=span)
    if isinstance(item, int | float | Fraction) and math.isfinite(item):
        return tree.Number(Fraction(item), str(item), span=span)
    message = f"{item!r} is not an argument: text, numbers and lists of these are"
    raise SpecError([Diagnostic("bad-setting", message, span)])
