"""The check of a recipe: each entry by itself, and entries that contradict each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from odenet.diagnostics import Diagnostic
from odenet.model.tables.argument_kinds import Subject
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import MIXING, Recipe, recipe_keys
from odenet.model.tables.synonyms import help_for_name

MOST_LEVELS = 16


@dataclass(frozen=True)
class RecipeEntry:
    """One `key = value` of `train { … }` or of the command line, with the spans of both.

    On the command line the key may also be a constant of the scheme.
    """

    key: str
    value: Any
    key_span: Any = None
    value_span: Any = None


def check_recipe(entries: Iterable[RecipeEntry]) -> tuple[Recipe, list[Diagnostic]]:
    """Turn the entries of `train { … }` into a recipe.

    Args:
        entries: the entries, in the order of the text.

    Returns:
        The recipe, without the entries that have errors, and the errors.
    """
    keys = recipe_keys()
    problems: list[Diagnostic] = []
    values: dict[str, Any] = {}
    spans: dict[str, Any] = {}
    for entry in entries:
        if entry.key not in keys:
            known = f"known: {', '.join(sorted(keys))}"
            message = f"unknown key `{entry.key}` in train"
            hint = help_for_name("key", entry.key, keys)
            problems.append(Diagnostic("unknown-key", message, entry.key_span, known, label=hint))
        elif entry.key in spans:
            message = f"`{entry.key}` is given twice in train"
            label = "the second time"
            problems.append(Diagnostic("given-twice", message, entry.key_span, label=label))
        else:
            key = keys[entry.key]
            spans[entry.key] = entry.value_span
            subject = Subject(entry.key, key.meaning, entry.value_span, problems.append)
            value = key.kind.check(entry.value, subject)
            if value is not None:
                values[entry.key] = value
    recipe = Recipe(**values)
    return recipe, problems + list(_contradictions(recipe, spans))


def _describe_place(span: Any) -> str:
    """Where a value was given, for a message."""
    if span is None:
        return "given too"
    from_option = span.source.name == "--set"
    return f"{span.text}, from outside" if from_option else f"{span.text}, in line {span.line}"


def _contradictions(recipe: Recipe, spans: dict[str, Any]) -> Iterator[Diagnostic]:
    """The errors about values that are valid by themselves but not together."""
    if "steps" in spans and "epochs" in spans and recipe.steps:
        message = "steps and epochs both say how long training takes"
        first, later = (name for name in spans if name in ("steps", "epochs"))
        help_ = f"remove one of them; {first} is {_describe_place(spans[first])}"
        yield Diagnostic("recipe-conflict", message, spans[later], help_)
    if recipe.levels and recipe.levels[-1] >= recipe.epochs and not recipe.steps:
        message = f"levels refines at epoch {recipe.levels[-1]}, but training has {recipe.epochs}"
        help_, label = "refine earlier, or not at all: levels = []", "not before the last epoch"
        yield Diagnostic("cannot-refine", message, spans["levels"], help_, label=label)
    if len(recipe.levels) > MOST_LEVELS:
        message = f"levels refines {len(recipe.levels)} times, and each doubles the steps"
        help_ = f"refine at most {MOST_LEVELS} times"
        yield Diagnostic("cannot-refine", message, spans["levels"], help_)
    if recipe.target > 1 and loss_kind(recipe.loss).metrics_for(per_place=False)[0].best == "max":
        message = "target is the value at which to stop, a share: at most 1"
        yield Diagnostic("wrong-argument", message, spans["target"], label="too large")
    loss, remove_it = loss_kind(recipe.loss), "leave it out, or take loss = cross_entropy"
    if recipe.label_smoothing and loss.labels not in ("class", "tokens"):
        message = f"label_smoothing is for classes, and loss = {loss.name} has none"
        yield Diagnostic("recipe-conflict", message, spans["label_smoothing"], remove_it)
    for call in recipe.augment:
        if call.name in MIXING and loss.name != "cross_entropy":
            message = f"{call.name} mixes classes, and loss = {loss.name} has none to mix"
            yield Diagnostic("recipe-conflict", message, spans["augment"], remove_it)
    if recipe.schedule.kwargs.get("warmup") and recipe.schedule.kwargs.get("warmup_steps"):
        message = "warmup and warmup_steps both say how long the rate rises"
        yield Diagnostic("recipe-conflict", message, spans["schedule"], "remove one of them")
    optimizer = recipe.optimizer
    if optimizer.kwargs.get("nesterov") == "yes" and not optimizer["momentum"]:
        message = "nesterov looks ahead along the momentum, which is 0"
        help_ = "give a momentum, as in momentum = 0.9"
        yield Diagnostic("recipe-conflict", message, spans["optimizer"], help_)
