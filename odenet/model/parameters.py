"""The types of `param`, and what a declared parameter is."""

from dataclasses import dataclass, field
from typing import Any

from odenet.diagnostics import Span
from odenet.model.numbers import C, Width, fixed
from odenet.model.recipe_values import Call, Choice, Number, Parameter, Subject, Word, describe

COUNT = Number(1, whole=True)


@dataclass(frozen=True)
class ChannelCount:
    """A width: a whole number of channels, or a multiple of `c`."""

    def words(self) -> str:
        """What to write."""
        return "a number of channels such as `2c` or `16`"

    def check(self, value: Any, subject: Subject) -> Any:
        """A Width."""
        if isinstance(value, Width):
            good = value.multiple >= 0 and value.constant == int(value.constant)
            return value if good else subject.refuse(self, "no number of channels")
        number = Number(1, whole=True).check(value, subject)
        return None if number is None else fixed(number)


@dataclass(frozen=True)
class Initialisation:
    """How a parameter begins: a named rule or a number."""

    rules: Choice

    def words(self) -> str:
        """What to write."""
        return f"a number, or {self.rules.words()}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The Call of a rule; a number is `constant(number)`."""
        if isinstance(value, Call):
            return self.rules.check(value, subject)
        if isinstance(value, str | tuple):
            return subject.refuse(self, f"this is {describe(value)}")
        number = Number(float("-inf")).check(value, subject)
        return None if number is None else Call("constant", (), {"value": number})


_ANY = Number(float("-inf"))
RULES = Choice(
    "initialisation",
    {
        "he": {},
        "xavier": {},
        "orthogonal": {},
        "zeros": {},
        "ones": {},
        "normal": {"std": Parameter(Number(0), "is the standard deviation")},
        "uniform": {"a": Parameter(Number(0), "bounds the values by ± a")},
        "constant": {"value": Parameter(_ANY, "is the value")},
    },
)


def _init(rule: str) -> Parameter:
    return Parameter(Initialisation(RULES), "says how it begins", Call(rule))


def _width(meaning: str) -> Parameter:
    return Parameter(ChannelCount(), meaning, C)


_KERNEL = Parameter(COUNT, "is the kernel's size along each axis")
_DILATION = Parameter(COUNT, "is the distance of the kernel's points", 1)
_IN = _width("counts the channels it reads")
_OUT = _width("counts the channels it gives")

TYPES = Choice(
    "type of parameter",
    {
        "conv": {
            "k": _KERNEL,
            "out": _OUT,
            "groups": Parameter(COUNT, "counts the groups of channels", 1),
            "dilation": _DILATION,
            "in": _IN,
            "init": _init("he"),
        },
        "depthwise": {"k": _KERNEL, "dilation": _DILATION, "init": _init("he")},
        "pointwise": {"out": _OUT, "in": _IN, "init": _init("he")},
        "dense": {"out": _OUT, "in": _IN, "init": _init("he")},
        "diag": {"init": _init("ones")},
        "bias": {"init": _init("zeros")},
        "scalar": {"init": _init("ones")},
        "norm": {
            "kind": Parameter(Word(("batch", "layer", "group")), "is its kind", "group"),
            "positive": Parameter(
                Word(("positive", "free")), "says whether the gain is kept above 0", "free"
            ),
            "group": Parameter(Number(0, whole=True), "counts its groups", 0),
            "init": _init("ones"),
        },
    },
)

CONVOLUTIONS = ("conv", "depthwise", "pointwise")
OPERATORS = (*CONVOLUTIONS, "dense", "diag")


@dataclass(frozen=True)
class Learned:
    """A declared parameter.

    Args:
        name: canonical name.
        type: one of TYPES.
        shared: one value for all steps of a flow, instead of one for each.
        options: the type's arguments, complete.
        width_in, width_out: channels it reads and gives; None for a scalar. Those of `bias`, `diag`
            and `norm` are found from where they stand (odenet/model/widths.py).
    """

    name: str
    type: str
    shared: bool
    options: dict[str, Any] = field(hash=False)
    width_in: Width | None
    width_out: Width | None
    span: Span = field(compare=False, repr=False)

    @property
    def groups(self) -> int:
        """Into how many equal parts its channels fall."""
        return int(self.options.get("groups") or self.options.get("group") or 1)

    @property
    def is_operator(self) -> bool:
        """Whether it is a linear operator."""
        return self.type in OPERATORS

    @property
    def is_module(self) -> bool:
        """Whether it is a layer rather than a tensor."""
        return self.type == "norm"


def declare(name: str, call: Call, shared: bool, span: Span) -> Learned:
    """A parameter of a checked type."""
    options = dict(call.kwargs)
    fixed = call.name in ("conv", "pointwise", "dense")
    width_in = options.get("in") if fixed else C if call.name == "depthwise" else None
    width_out = options.get("out") if fixed else width_in
    return Learned(name, call.name, shared, options, width_in, width_out, span)
