"""Settings: values from outside the file that replace values in it, as `--set` gives them."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, TypeAlias, cast

from odenet.diagnostics import Diagnostic, Rejected, Report, Source, Span, SpecError
from odenet.language import canonical, parse_setting, tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.choices import Choice
from odenet.model.tables.recipe import OPTIMIZERS, Recipe, recipe_keys
from odenet.model.tables.recipe_checks import RecipeEntry
from odenet.model.tables.synonyms import help_for_name

# What a setting is set to; a mapping `{"folder": ["my path"]}` is the call `folder("my path")`.
Value: TypeAlias = "str | float | Fraction | Sequence[Value] | Mapping[str, Sequence[Any]]"

OPTIMIZER = "optimizer"  # the key whose arguments may be set by their names alone
LENGTH_KEYS = {"epochs", "steps"}  # two keys, each of which says how long training takes


class Settings:
    """Settings of `let`s, of constants of the scheme and of keys of the recipe.

    Each is handed out once, to the statement that it belongs to; the rest is reported.
    `optimizer.lr` sets one argument of the value of a key, and `lr` is short for it.

    Args:
        values: the values by name. A text is parsed as in the file. A mapping is a call whose
            arguments are not parsed: `{"folder": ["my pictures"]}`.
        report: collects the errors.
    """

    def __init__(self, values: Mapping[str, Value], report: Report):
        self.report = report
        self._pending: dict[str, tree.Setting] = {}
        self._pending_arguments: list[tuple[str, tree.Setting]] = []  # (key, argument of its value)
        for name, value in values.items():
            key, dot, argument = name.partition(".")
            if isinstance(value, Mapping):
                setting = _call_setting(name, value)
            else:
                text = f"{argument if dot else name}={_source_text(value)}"
                setting = parse_setting(Source("--set", text), report)
            if setting is not None and dot:
                self._pending_arguments.append((canonical(key), setting))
            elif setting is not None:
                self._pending[setting.key.id] = setting

    def apply_to_lets(self, scope: SpecScope) -> None:
        """Hand the settings that name a `let` to the scope, where they replace its value."""
        for name in [name for name in self._pending if name in scope.lets]:
            scope.let_overrides[name] = self._pending.pop(name).value

    def take(self, names: Iterable[str], argument_reader: ArgumentReader) -> list[RecipeEntry]:
        """The evaluated settings of the given names; those with an error are left out."""
        entries: list[RecipeEntry] = []
        for name in [name for name in self._pending if name in set(names)]:
            setting = self._pending.pop(name)
            try:
                value = argument_reader.value(setting.value)
            except Rejected:
                continue
            entries.append(RecipeEntry(name, value, setting.key.span, setting.value.span))
        return entries

    def replace_arguments(
        self, entries: list[RecipeEntry], argument_reader: ArgumentReader
    ) -> list[RecipeEntry]:
        """The entries of a recipe, after settings such as `optimizer.lr` have replaced arguments.

        Args:
            entries: the keys of the recipe with their values.
            argument_reader: evaluates the settings.
        """
        keys = recipe_keys()
        recipe = {e.key: e for e in entries}  # a key that is given twice is reported elsewhere
        optimizer = _entry_of(OPTIMIZER, recipe).value
        for name in [n for n in self._pending if n in _parameters_of(OPTIMIZER, optimizer)]:
            self._pending_arguments.append((OPTIMIZER, self._pending.pop(name)))
        for key, setting in self._pending_arguments:
            if key not in keys:
                help_ = help_for_name("key", key, keys) or "write it as in optimizer.lr=0.1"
                message = f"the recipe has no key `{key}`, so no `{setting.key.spelling}` in it"
                self.report.error("bad-setting", message, setting.key.span, help_)
                continue
            with suppress(Rejected):
                entry = _entry_of(key, recipe)
                recipe[key] = self._updated(entry, setting, argument_reader.value(setting.value))
                entries = [e for e in entries if e is not entry] + [recipe[key]]
        self._pending_arguments = []
        return entries

    def _updated(self, entry: RecipeEntry, setting: tree.Setting, value: Any) -> RecipeEntry:
        """An entry with one argument of its value, a call, replaced; raises Rejected."""
        name, span = setting.key.id, setting.value.span
        call = Call(entry.value) if isinstance(entry.value, str) else entry.value
        if not isinstance(call, Call) or not isinstance(recipe_keys()[entry.key].kind, Choice):
            message = f"`{entry.key}` has no arguments, so no `{setting.key.spelling}`"
            help_ = f"set it whole: {entry.key}=…"
            self.report.reject("bad-setting", message, setting.key.span, help_)
        argument_names = list(_parameters_of(entry.key, call))
        index = argument_names.index(name) if name in argument_names else len(call.args)
        args, kwargs, spans = list(call.args), dict(call.kwargs), dict(call.argument_spans)
        if index < len(args):
            args[index], spans[index] = value, span
        else:
            kwargs[name], spans[name] = value, span
        call = replace(call, args=tuple(args), kwargs=kwargs, argument_spans=spans)
        call = call if call.span is not None else replace(call, span=setting.key.span)
        key_span, value_span = entry.key_span or setting.key.span, entry.value_span or span
        return RecipeEntry(entry.key, call, key_span, value_span)

    def report_rest(self, scope: SpecScope, settable: Iterable[str]) -> None:
        """Report the settings that no statement has taken.

        Args:
            scope: the names of the file.
            settable: the names of constants and keys that can be set.
        """
        names = [let.name.spelling for let in scope.lets.values()]
        used_lets = scope.used_lets()
        for name, value in scope.let_overrides.items():
            if name not in used_lets:
                message = f"nothing uses `{name}`, so setting it changes nothing"
                self.report.error("bad-setting", message, value.span, "leave it out")
        for name, setting in self._pending.items():
            spelling = setting.key.spelling
            if name in scope.declared:
                message = f"`{spelling}` is not a number that can be set"
            else:
                message = f"nothing that can be set is called `{spelling}`"
            suggestion = help_for_name("key", spelling, [*names, *settable])
            help_ = suggestion or f"this file has {', '.join([*names, *settable])}"
            self.report.error("bad-setting", message, setting.key.span, help_)


def _parameters_of(key: str, value: Any) -> Mapping[str, Any]:
    """The parameters of a recipe's value that is a call, by name; empty if it takes none."""
    kind = recipe_keys()[key].kind
    name = value.name if isinstance(value, Call) else value
    return kind.forms.get(name, {}) if isinstance(kind, Choice) and isinstance(name, str) else {}


def _entry_of(key: str, recipe: Mapping[str, RecipeEntry]) -> RecipeEntry:
    """The entry of a key in a recipe, or its default."""
    return recipe[key] if key in recipe else RecipeEntry(key, getattr(Recipe(), key))


def merge_settings(
    earlier: Mapping[str, Value], later: Mapping[str, Value], declared: Collection[str]
) -> dict[str, Value]:
    """Earlier settings, updated by later ones.

    A later `optimizer` also replaces `optimizer.lr` and `lr`; these two replace each other, and so
    do `steps` and `epochs`.

    Args:
        earlier: the earlier settings.
        later: the later settings.
        declared: the names that the spec declares; a `lr` among them is not the learning rate.
    """
    forms = OPTIMIZERS.forms.values()
    short_names = {argument for form in forms for argument in form if argument not in declared}

    def full_name(name: str) -> str:
        return f"{OPTIMIZER}.{name}" if name in short_names else name

    replaced, length_keys = set(map(full_name, later)), LENGTH_KEYS - {*declared}
    if replaced & length_keys:
        replaced |= length_keys
    kept = {
        name: value
        for name, value in earlier.items()
        if full_name(name) not in replaced and full_name(name).partition(".")[0] not in replaced
    }
    return {**kept, **later}


def data_setting(data: str) -> str | dict[str, list[str]]:
    """The value of `--data` as a setting; the path in `folder:PATH` is not parsed."""
    name, colon, path = data.partition(":")
    return {name: [path]} if colon else data


def command_line(name: str, value: Value) -> list[str]:
    """The command-line arguments that give a setting: `["--set", "h=0.1"]`."""
    if not isinstance(value, Mapping):
        return ["--set", f"{name}={_source_text(value)}"]
    ((call_name, arguments),) = value.items()
    if name == "data" and len(arguments) == 1:
        return ["--data", f"{call_name}:{arguments[0]}"]  # as `data_setting` reads it
    return ["--set", _call_setting(name, value).key.span.text]


def _source_text(value: Any, quoted: bool = False) -> str:
    """The source text of a Python value, on one line; `quoted` is whether strings are quoted."""
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return f"[{', '.join(_source_text(item, quoted) for item in items)}]"
    return f'"{" ".join(value.split())}"' if quoted and isinstance(value, str) else str(value)


def _call_setting(key: str, value: Mapping[str, Sequence[Any]]) -> tree.Setting:
    """A setting whose value is a call, built without parsing, so that any text may be in it."""
    ((name, items),) = value.items()
    arguments_text = ", ".join(_source_text(item, quoted=True) for item in items)
    source = Source("--set", f"{key}={name}({arguments_text})")
    span = Span(source, 0, len(source.text))  # of the whole, for all of its nodes
    arguments = tuple(tree.Argument(None, _argument_tree(item, span), span=span) for item in items)
    call_name = tree.Name(canonical(name), name, span=span)
    term = tree.Term((("", call_name), ("", tree.Group(arguments, span=span))), span=span)
    return tree.Setting(tree.Name(canonical(key), key, span=span), term, span=span)


def _argument_tree(item: Any, span: Span) -> Any:
    """The syntax tree of a Python value; raises SpecError for a type without syntax."""
    if isinstance(item, str):
        return tree.Text(item, span=span)
    if isinstance(item, list | tuple):
        items = cast("Sequence[Any]", item)
        return tree.ListValue(tuple(_argument_tree(i, span) for i in items), span=span)
    if isinstance(item, int | float | Fraction) and math.isfinite(item):
        return tree.Number(Fraction(item), str(item), span=span)
    message = f"{item!r} is not an argument: text, numbers and lists of these are"
    raise SpecError([Diagnostic("bad-setting", message, span)])
