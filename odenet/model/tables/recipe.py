"""The training recipe, `train { key = value … }`, as a typed value.

Every key is a field of `Recipe`, with its default, the values it takes and its meaning. Checks,
messages and documentation all use these.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from odenet.model.tables import argument_kinds
from odenet.model.tables.argument_kinds import Call, ListOf, Number, Word, WordOr
from odenet.model.tables.arguments import COUNT
from odenet.model.tables.choices import Choice, Parameter
from odenet.model.tables.data_sets import DATA_SETS
from odenet.model.tables.losses import LOSSES

SHARE = Number(0, 1, open_low=True)  # above 0, at most 1
RATE = Number(0, open_low=True)  # above 0; also for the `alpha` of mixup and cutmix
AMOUNT = Number(0)  # at least 0
BELOW_1 = Number(0, 1, open_high=True)  # at least 0, below 1
SEED = Number(0, 2**32 - 1, whole=True)
FROM_ZERO = Number(0, whole=True)  # a count that may be 0
EPOCHS = ListOf(COUNT, increasing=True)  # the numbers of epochs after which something happens

DECAY = Parameter(AMOUNT, "is the weight decay", 0.0)
DECAYING = Word(("weights", "all"))
DECAY_ON = Parameter(
    DECAYING, "says what decays: weights only, or biases and normalisations too", "weights"
)
PAIR = ListOf(BELOW_1, length=2)
BETAS = Parameter(PAIR, "are the decay rates of the two running averages", (0.9, 0.999))


def _rate(default: float) -> Parameter:
    return Parameter(RATE, "is the learning rate", default)


ADAM = {"lr": _rate(1e-3), "decay": DECAY, "betas": BETAS, "decay_on": DECAY_ON}

OPTIMIZERS = Choice(
    "optimizer",
    {
        "sgd": {
            "lr": _rate(0.1),
            "momentum": Parameter(BELOW_1, "is the momentum", 0.9),
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
        FROM_ZERO, "counts the steps over which it does, in place of epochs", 0
    ),
}

RESTART_EPOCHS = WordOr("levels", EPOCHS)
RESTARTS = Parameter(RESTART_EPOCHS, "lists the epochs at which the schedule starts anew", "levels")

LAST_RATE = Parameter(AMOUNT, "is the last learning rate", 0.0)
SCHEDULES = Choice(
    "schedule",
    {
        "constant": WARMUP,
        "steps": {
            "at": Parameter(EPOCHS, "lists the epochs at which the rate is cut"),
            "factor": Parameter(SHARE, "multiplies the rate at each cut", 0.1),
            **WARMUP,
            "restarts": RESTARTS,
        },
        "cosine": {"to": LAST_RATE, **WARMUP, "restarts": RESTARTS},
    },
)

SCOPES = Word(("data", "image", "none"))
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
        "color_jitter": {
            "brightness": Parameter(AMOUNT, "is the most that brightness changes by", 0.4),
            "contrast": Parameter(AMOUNT, "is the most that contrast changes by", 0.4),
            "saturation": Parameter(AMOUNT, "is the most that saturation changes by", 0.4),
            "hue": Parameter(
                Number(0, 0.5), "is the most that the hue turns by, as a share of a circle", 0.1
            ),
        },
        "randaugment": {
            "n": Parameter(COUNT, "counts the changes made to each picture", 2),
            "m": Parameter(Number(0, 30, whole=True), "is their magnitude, of 30", 9),
        },
        "mixup": {"alpha": Parameter(RATE, "spreads the shares of the two samples", 0.2)},
        "cutmix": {"alpha": Parameter(RATE, "spreads the area taken from the other sample", 1.0)},
        "standardise": {
            "over": Parameter(SCOPES, "says whose mean and deviation are taken out", "data")
        },
    },
)

MIXING = ("mixup", "cutmix")  # augmentations after which a sample has several classes

LOSS = Choice("loss", {name: row.arguments for name, row in LOSSES.items()})
DATA = Choice("data set", {name: row.arguments for name, row in DATA_SETS.items()})


@dataclass(frozen=True)
class RecipeKey:
    """The values that a key of the recipe takes, and its meaning; metadata of its field."""

    kind: argument_kinds.ArgumentKind
    meaning: str


def _key(kind: argument_kinds.ArgumentKind, meaning: str, default: Any) -> Any:
    """The field of a key: the values it takes, its meaning for messages, and its default."""
    return field(default=default, metadata={"key": RecipeKey(kind, meaning)})


ADAMW = OPTIMIZERS.default("adamw")
COSINE = SCHEDULES.default("cosine")
GUARDS = Word(("warn", "rescale"))
ON_NAN = Word(("stop", "skip", "rollback"))
PRECISIONS = Word(("float32", "tf32", "bf16", "fp16", "float64"))


@dataclass(frozen=True)
class Recipe:
    """How to train: what `train { … }` says, complete with defaults."""

    data: Call | None = _key(DATA, "names the data set", None)
    loss: Call | None = _key(
        LOSS, "is what training makes small; cross_entropy where samples have classes", None
    )
    augment: tuple[Call, ...] = _key(
        ListOf(AUGMENTATIONS), "lists random changes to the training images", ()
    )
    batch: int = _key(COUNT, "counts the samples per step, over all devices", 128)
    accumulate: int = _key(COUNT, "counts the batches whose gradients are summed for one step", 1)
    epochs: int = _key(COUNT, "counts passes over the data", 30)
    steps: int = _key(FROM_ZERO, "counts the optimizer's steps in place of epochs, 0 for epochs", 0)
    repeat: int = _key(COUNT, "counts how often an epoch goes through the data", 1)
    optimizer: Call = _key(OPTIMIZERS, "turns gradients into steps", ADAMW)
    schedule: Call = _key(SCHEDULES, "moves the learning rate over the epochs", COSINE)
    smooth: float = _key(AMOUNT, "weighs the change of weights from step to step", 0.0)
    label_smoothing: float = _key(BELOW_1, "spreads this much of each label over all classes", 0.0)
    ema: float = _key(BELOW_1, "is the decay of the averaged weights, 0 for none", 0.0)
    clip: float = _key(AMOUNT, "limits the norm of the gradient, 0 for no limit", 0.0)
    guard: str = _key(
        GUARDS, "says what happens to steps too long for the weights to be stable", "warn"
    )
    on_nan: str = _key(ON_NAN, "says what happens when a loss or a gradient is not finite", "stop")
    precision: str = _key(
        PRECISIONS, "is the arithmetic (tf32, bf16 and fp16 keep float32 weights)", "float32"
    )
    seed: int = _key(SEED, "starts the random numbers", 0)
    fraction: float = _key(SHARE, "is the share of the training samples used, per class", 1.0)
    holdout: float = _key(
        BELOW_1, "is the share of the training samples kept back to choose the best epoch", 0.0
    )
    levels: tuple[int, ...] = _key(EPOCHS, "lists the epochs at which every flow is refined", ())
    patience: int = _key(FROM_ZERO, "counts epochs without progress before a stop, 0 for never", 0)
    target: float = _key(AMOUNT, "is the value of the metric at which to stop, 0 for none", 0.0)

    def __str__(self) -> str:
        return "\n".join(f"{name} = {argument_kinds.show(value)}" for name, value in self.items())

    def items(self) -> list[tuple[str, Any]]:
        """The keys with their values, without those that are None."""
        pairs = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]

    def non_default_items(self) -> list[tuple[str, Any]]:
        """The keys whose values are not the defaults."""
        defaults = dict(Recipe().items())
        return [(name, value) for name, value in self.items() if defaults.get(name) != value]


def recipe_keys() -> dict[str, RecipeKey]:
    """The keys of a recipe, by name."""
    return {f.name: f.metadata["key"] for f in fields(Recipe)}
