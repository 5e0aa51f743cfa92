"""The training recipe, `train { key = value … }`, as a typed value.

Every key is one field of `Recipe`: its default, its kind of value and range, and what it means
are kept together, and the checks, the messages and the documentation read them from there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

from odenet.diagnostics import Diagnostic
from odenet.model.tables.also_called import meant
from odenet.model.tables.argument_kinds import (
    ArgumentKind,
    Call,
    Choice,
    Number,
    Parameter,
    Several,
    Subject,
    Word,
    WordOr,
    show,
)
from odenet.model.tables.data_sets import DATA_SETS
from odenet.model.tables.losses import LOSSES, loss_kind

__all__ = ["Call", "Entry", "Recipe", "check_recipe", "recipe_keys"]

COUNT = Number(1, whole=True)
SHARE = Number(0, 1, open_low=True)
RATE = Number(0, open_low=True)
AMOUNT = Number(0)
PART = Number(0, 1, open_high=True)
MOST_LEVELS = 16
SEED = Number(0, 2**32 - 1, whole=True)

DECAY = Parameter(AMOUNT, "is the weight decay", 0.0)
DECAY_ON = Parameter(
    Word(("weights", "all")),
    "says what decays: weights only, or biases and normalisations too",
    "weights",
)
BETAS = Parameter(
    Several(PART, length=2),
    "are the decay rates of the two running averages",
    (0.9, 0.999),
)


def _rate(default: float) -> Parameter:
    return Parameter(RATE, "is the learning rate", default)


ADAM = {"lr": _rate(1e-3), "decay": DECAY, "betas": BETAS, "decay_on": DECAY_ON}

OPTIMIZERS = Choice(
    "optimizer",
    {
        "sgd": {
            "lr": _rate(0.1),
            "momentum": Parameter(PART, "is the momentum", 0.9),
            "decay": DECAY,
            "nesterov": Parameter(Word(("yes", "no")), "looks ahead by one step", "no"),
            "decay_on": DECAY_ON,
        },
        "adam": ADAM,
        "adamw": ADAM,
    },
)

WARMUP = {
    "warmup": Parameter(AMOUNT, "is the number of epochs over which the rate rises from zero", 0.0),
    "warmup_steps": Parameter(
        Number(0, whole=True), "counts the steps over which it does, in place of epochs", 0
    ),
}

RESTARTS = Parameter(
    WordOr("levels", Several(COUNT, increasing=True)),
    "lists the epochs at which the schedule starts anew",
    "levels",
)

SCHEDULES = Choice(
    "schedule",
    {
        "constant": WARMUP,
        "steps": {
            "at": Parameter(
                Several(COUNT, increasing=True), "lists the epochs at which the rate is cut"
            ),
            "factor": Parameter(SHARE, "multiplies the rate at each cut", 0.1),
            **WARMUP,
            "restarts": RESTARTS,
        },
        "cosine": {
            "to": Parameter(AMOUNT, "is the last learning rate", 0.0),
            **WARMUP,
            "restarts": RESTARTS,
        },
    },
)

AUGMENTATIONS = Choice(
    "augmentation",
    {
        "pad_crop": {"n": Parameter(COUNT, "is the border, in pixels, before a random crop")},
        "flip": {},
        "cutout": {"n": Parameter(COUNT, "is the side, in pixels, of the square blanked out")},
        "random_resized_crop": {
            "least": Parameter(SHARE, "is the least share of the area that is kept", 0.08)
        },
        "center_crop": {
            "resize": Parameter(
                COUNT, "is the shorter side, in pixels, of a picture before its middle is taken"
            )
        },
        "standardise": {
            "over": Parameter(
                Word(("data", "image", "none")),
                "says whose mean and deviation are taken out",
                "data",
            )
        },
    },
)

LOSS = Choice("loss", {name: row.arguments for name, row in LOSSES.items()})
DATA = Choice("data set", {name: row.arguments for name, row in DATA_SETS.items()})


@dataclass(frozen=True)
class Key:
    """What a key of the recipe takes and means; the annotation of its field."""

    kind: ArgumentKind
    meaning: str


ADAMW = OPTIMIZERS.default("adamw")
COSINE = SCHEDULES.default("cosine")
GUARDS = Word(("warn", "rescale"))
ON_NAN = Word(("stop", "skip", "rollback"))
PRECISIONS = Word(("float32", "tf32", "bf16", "fp16", "float64"))


@dataclass(frozen=True)
class Recipe:
    """How to train; what `train { … }` says, complete with defaults."""

    data: Annotated[Call | None, Key(DATA, "names the data set")] = None
    loss: Annotated[
        Call | None,
        Key(LOSS, "is what training makes small; cross_entropy where samples have classes"),
    ] = None
    augment: Annotated[
        tuple[Call, ...],
        Key(Several(AUGMENTATIONS), "lists random changes to the training images"),
    ] = ()
    batch: Annotated[int, Key(COUNT, "counts the samples per step, over all devices")] = 128
    accumulate: Annotated[
        int, Key(COUNT, "counts the batches whose gradients are summed for one step")
    ] = 1
    epochs: Annotated[int, Key(COUNT, "counts passes over the data")] = 30
    steps: Annotated[
        int,
        Key(Number(0, whole=True), "counts the optimizer's steps in place of epochs, 0 for epochs"),
    ] = 0
    repeat: Annotated[int, Key(COUNT, "counts how often an epoch goes through the data")] = 1
    optimizer: Annotated[Call, Key(OPTIMIZERS, "turns gradients into steps")] = ADAMW
    schedule: Annotated[Call, Key(SCHEDULES, "moves the learning rate over the epochs")] = COSINE
    smooth: Annotated[float, Key(AMOUNT, "weighs the change of weights from step to step")] = 0.0
    label_smoothing: Annotated[
        float, Key(PART, "spreads this much of each label over all classes")
    ] = 0.0
    ema: Annotated[float, Key(PART, "is the decay of the averaged weights, 0 for none")] = 0.0
    clip: Annotated[float, Key(AMOUNT, "limits the norm of the gradient, 0 for no limit")] = 0.0
    guard: Annotated[
        str, Key(GUARDS, "says what happens to steps too long for the weights to be stable")
    ] = "warn"
    on_nan: Annotated[
        str, Key(ON_NAN, "says what happens when a loss or a gradient is not finite")
    ] = "stop"
    precision: Annotated[
        str, Key(PRECISIONS, "is the arithmetic (tf32, bf16 and fp16 keep float32 weights)")
    ] = "float32"
    seed: Annotated[int, Key(SEED, "starts the random numbers")] = 0
    fraction: Annotated[
        float, Key(SHARE, "is the share of the training samples used, per class")
    ] = 1.0
    holdout: Annotated[
        float, Key(PART, "is the share of the training samples kept back to choose the best epoch")
    ] = 0.0
    levels: Annotated[
        tuple[int, ...],
        Key(Several(COUNT, increasing=True), "lists the epochs at which every flow is refined"),
    ] = ()
    patience: Annotated[
        int, Key(Number(0, whole=True), "counts epochs without progress before a stop, 0 for never")
    ] = 0
    target: Annotated[
        float, Key(AMOUNT, "is the value of the metric at which to stop, 0 for none")
    ] = 0.0

    def __str__(self) -> str:
        return "\n".join(f"{name} = {show(value)}" for name, value in self.items())

    def items(self) -> list[tuple[str, Any]]:
        """The keys that are set, with their values."""
        pairs = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]

    def given(self) -> list[tuple[str, Any]]:
        """The keys whose values are not the defaults."""
        usual = dict(Recipe().items())
        return [(name, value) for name, value in self.items() if usual.get(name) != value]


@dataclass(frozen=True)
class Entry:
    """One `key = value` of the text, with the places of both."""

    key: str
    value: Any
    key_span: Any = None
    value_span: Any = None


def recipe_keys() -> dict[str, Key]:
    """Every key of a recipe, with what it takes and means."""
    hints = get_type_hints(Recipe, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def check_recipe(entries: Iterable[Entry]) -> tuple[Recipe, list[Diagnostic]]:
    """Turn the entries of `train { … }` into a recipe.

    Args:
        entries: what is written, in order.

    Returns:
        The recipe, without the entries that have problems, and everything that is wrong.
    """
    keys = recipe_keys()
    problems: list[Diagnostic] = []
    values: dict[str, Any] = {}
    spans: dict[str, Any] = {}
    for entry in entries:
        if entry.key not in keys:
            known = f"known: {', '.join(sorted(keys))}"
            message = f"unknown key `{entry.key}` in train"
            problems.append(
                Diagnostic(
                    "unknown-key", message, entry.key_span, meant("key", entry.key, keys), known
                )
            )
        elif entry.key in spans:
            message = f"`{entry.key}` is given twice in train"
            problems.append(Diagnostic("given-twice", message, entry.key_span, "the second time"))
        else:
            key = keys[entry.key]
            spans[entry.key] = entry.value_span
            subject = Subject(entry.key, key.meaning, entry.value_span, problems.append)
            value = key.kind.check(entry.value, subject)
            if value is not None:
                values[entry.key] = value
    recipe = Recipe(**values)
    return recipe, problems + list(_contradictions(recipe, spans))


def _contradictions(recipe: Recipe, spans: dict[str, Any]) -> Iterator[Diagnostic]:
    """Values that are fine by themselves and not beside each other."""
    if "steps" in spans and "epochs" in spans and recipe.steps:
        message = "steps and epochs both say how long training takes"
        yield Diagnostic("recipe-conflict", message, spans["steps"], help="remove one of them")
    if recipe.levels and recipe.levels[-1] >= recipe.epochs and not recipe.steps:
        yield Diagnostic(
            "cannot-refine",
            f"levels refines at epoch {recipe.levels[-1]}, but training has {recipe.epochs}",
            spans["levels"],
            "not before the last epoch",
            "refine earlier, or not at all: levels = []",
        )
    if len(recipe.levels) > MOST_LEVELS:
        doubled = f"levels refines {len(recipe.levels)} times, and each doubles the steps"
        yield Diagnostic(
            "cannot-refine", doubled, spans["levels"], help=f"refine at most {MOST_LEVELS} times"
        )
    if recipe.target > 1 and loss_kind(recipe.loss).measured(False)[0].best == "max":
        yield Diagnostic(
            "wrong-argument",
            "target is the value at which to stop, a share: at most 1",
            spans["target"],
            "too large",
        )
    if recipe.label_smoothing and loss_kind(recipe.loss).labels not in ("class", "tokens"):
        yield Diagnostic(
            "recipe-conflict",
            f"label_smoothing is for classes, and loss = {loss_kind(recipe.loss).name} has none",
            spans["label_smoothing"],
            help="leave it out, or take loss = cross_entropy",
        )
    if recipe.schedule.kwargs.get("warmup") and recipe.schedule.kwargs.get("warmup_steps"):
        message = "warmup and warmup_steps both say how long the rate rises"
        yield Diagnostic("recipe-conflict", message, spans["schedule"], help="remove one of them")
    optimizer = recipe.optimizer
    if optimizer.kwargs.get("nesterov") == "yes" and not optimizer["momentum"]:
        message = "nesterov looks ahead along the momentum, which is 0"
        yield Diagnostic(
            "recipe-conflict",
            message,
            spans["optimizer"],
            help="give a momentum, as in momentum = 0.9",
        )
