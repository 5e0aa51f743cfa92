"""The types of `param`, such as `conv` or `bias`, as a table: a new type needs only a row here."""

from collections.abc import Callable, Mapping
from typing import Any

from odenet.model.tables.argument_kinds import Call, Number, Word
from odenet.model.tables.arguments import COUNT, channels, init
from odenet.model.tables.choices import Choice, MappedTables, Parameter
from odenet.model.tables.norms import NORMS
from odenet.model.tables.parameter_kinds import Construction, Operator, Options, ParameterKind
from odenet.model.tables.tensors import Array, Draw, Dual, Space, Tensor, Tensors


def _kernel_tensors(groups: Callable[[Options, int], int]) -> Callable[..., Tensors]:
    """The tensors of a convolution, one of shape (out channels, in channels / groups, k, …)."""

    def tensors(options: Options, reads: int, gives: int, axes: int) -> Tensors:
        sizes = (int(options.get("k", 1)),) * axes
        return {"": Tensor((gives, reads // groups(options, reads), *sizes))}

    return tensors


def is_positive(options: Options) -> bool:
    """Whether its values, or the gain of a norm, are above 0 by construction."""
    return options.get("positive") == "positive"


def _positive_argument(subject: str) -> Parameter:
    return Parameter(Word(("positive", "free")), f"says whether {subject} kept above 0", "free")


def _softplus_code(options: Options, stored: str) -> str:
    return f"functional.softplus({stored})" if is_positive(options) else stored


def _distribution(options: Options) -> Draw:
    return "gain" if is_positive(options) else "weight"


def _positive_code(options: Options) -> str:
    return ", positive=True" if is_positive(options) else ""


def _check_positive_init(options: Options) -> tuple[str, str]:
    """Error and help for a positive parameter whose initial values may be 0 or negative."""
    init: Call = options["init"]
    if not is_positive(options) or init.name == "ones" or init.kwargs.get("value", 0) > 0:
        return "", ""
    return "what is kept above 0 begins above 0", "write `init = ones`, or a number above 0"


def _per_channel_tensors(options: Options, reads: int, gives: int, axes: int) -> Tensors:
    return {"": Tensor((reads, *(1,) * axes), _distribution(options))}


def _conv_code(options: Options, make: Construction, groups: str) -> str:
    kernel = f"kernel={options.get('k', 1)}, space={make.space}"
    kernel += f", groups={groups}" if groups != "1" else ""
    return f"conv_kernel({make.steps}, {make.reads}, {make.gives}, {kernel}{make.init('he')})"


def _convolve(options: Options, K: Array, x: Dual, space: Space) -> Dual:
    return x.convolved(K, space, len(x) // K.shape[1], int(options.get("dilation", 1)))


def _convolution_keywords(
    groups: Callable[[Options, Any], Any],
) -> Callable[[Options, Any], Mapping[str, Any]]:
    """`groups` and `dilation`, where they are not 1."""

    def keywords(options: Options, channels: Any) -> Mapping[str, Any]:
        values = {"groups": groups(options, channels), "dilation": options.get("dilation", 1)}
        return {name: value for name, value in values.items() if value != 1}

    return keywords


_POWER_ITERATION = 'self.norm("{label}", {K}, step{keywords})'


def _convolution(groups: Callable[[Options, Any], Any]) -> Operator:
    return Operator(
        "conv",
        "adjoint_conv",
        _convolve,
        _convolution_keywords(groups),
        _POWER_ITERATION,
        kernel=True,
    )


def _normalisation_code(options: Options, make: Construction) -> str:
    kind = options["kind"]
    groups = f", groups={options['group']}" if NORMS[kind].grouped else ""
    form = f"space={make.space}{groups}{_positive_code(options)}{make.init('ones')}"
    return f'norm_layers({make.steps}, "{kind}", {make.reads}, {form})'


def _check_norm(options: Options) -> tuple[str, str]:
    if NORMS[options["kind"]].grouped == (options["group"] > 0):
        return _check_positive_init(options)
    return "which norm?", "write norm(batch), norm(layer) or norm(group = 8)"


_KNOTS = Parameter(Number(2, whole=True), "counts the knots between which it moves in time", 0)
_KERNEL = Parameter(COUNT, "is the kernel's size along each axis")
_DILATION = Parameter(COUNT, "is the distance of the kernel's points", 1, True)
_IN = channels("counts the channels it reads")
_OUT = channels("counts the channels it gives")

ROWS = (
    ParameterKind(
        "conv",
        "operator",
        'convolution, `k` points per axis, "same" padding, no bias. Its transpose is the exact '
        "adjoint, whatever the padding",
        {
            "k": _KERNEL,
            "out": _OUT,
            "groups": Parameter(COUNT, "counts the groups of channels", 1, True),
            "dilation": _DILATION,
            "in": _IN,
            "init": init("he"),
            "knots": _KNOTS,
        },
        _kernel_tensors(lambda options, reads: int(options["groups"])),
        lambda options, make: _conv_code(options, make, str(options["groups"])),
        width="arguments",
        operator=_convolution(lambda options, channels: options["groups"]),
        needs_image=True,
        mixes_places=True,
        groups=lambda options: int(options["groups"]),
    ),
    ParameterKind(
        "depthwise",
        "operator",
        "convolution of every channel by itself",
        {"k": _KERNEL, "dilation": _DILATION, "init": init("he"), "knots": _KNOTS},
        _kernel_tensors(lambda options, reads: reads),
        lambda options, make: _conv_code(options, make, make.reads),
        width="state",
        operator=_convolution(lambda options, channels: channels),
        needs_image=True,
        mixes_places=True,
    ),
    ParameterKind(
        "pointwise",
        "operator",
        "convolution with one point",
        {"out": _OUT, "in": _IN, "init": init("he"), "knots": _KNOTS},
        _kernel_tensors(lambda options, reads: 1),
        lambda options, make: _conv_code(options, make, "1"),
        width="arguments",
        operator=_convolution(lambda options, channels: 1),
        needs_image=True,
    ),
    ParameterKind(
        "dense",
        "operator",
        "full matrix on the channel axis",
        {"out": _OUT, "in": _IN, "init": init("he"), "knots": _KNOTS},
        lambda options, reads, gives, axes: {"": Tensor((gives, reads))},
        lambda options, make: (
            f"dense_matrix({make.steps}, {make.reads}, {make.gives}{make.init('he')})"
        ),
        width="arguments",
        operator=Operator(
            "dense",
            "adjoint_dense",
            lambda options, K, x, space: K @ x,
            norm=_POWER_ITERATION,
            kernel=True,
        ),
    ),
    ParameterKind(
        "diag",
        "operator",
        "one factor per channel: a symmetric operator; `diag(positive)` keeps them above 0",
        {"positive": _positive_argument("they are"), "init": init("ones"), "knots": _KNOTS},
        _per_channel_tensors,
        lambda options, make: (
            f"diagonal({make.steps}, {make.reads}, space={make.space}"
            f"{_positive_code(options)}{make.init('ones')})"
        ),
        value=_softplus_code,
        problem=_check_positive_init,
        operator=Operator(
            "diag",
            "diag",
            lambda options, K, x, space: K.reshape(-1, 1) * x,
            norm="{K}.abs().amax()",
            diagonal=True,
        ),
    ),
    ParameterKind(
        "bias",
        "bias",
        "one value per channel of whatever it is added to",
        {"init": init("zeros"), "knots": _KNOTS},
        _per_channel_tensors,
        lambda options, make: (
            f"bias({make.steps}, {make.reads}, space={make.space}{make.init('zeros')})"
        ),
    ),
    ParameterKind(
        "scalar",
        "scalar",
        "one learned number; `scalar(positive)` keeps it above 0",
        {"positive": _positive_argument("it is"), "init": init("ones"), "knots": _KNOTS},
        lambda options, reads, gives, axes: {"": Tensor((), _distribution(options))},
        lambda options, make: f"scalar({make.steps}{_positive_code(options)}{make.init('ones')})",
        width="none",
        value=_softplus_code,
        problem=_check_positive_init,
    ),
    ParameterKind(
        "norm",
        "norm",
        "a normalisation, applied as `N(K Z)`: `norm(batch)`, `norm(layer)` or `norm(group = 8)`; "
        "`norm(batch, positive)` keeps its gain above 0; `init` is the gain",
        {
            "kind": Parameter(Word(tuple(NORMS)), "is its kind", "group"),
            "positive": _positive_argument("the gain is"),
            "group": Parameter(Number(0, whole=True), "counts its groups", 0),
            "init": init("ones"),
        },
        lambda options, reads, gives, axes: NORMS[options["kind"]].tensors(reads),
        _normalisation_code,
        groups=lambda options: int(options["group"]) or 1,
        problem=_check_norm,
    ),
)

PARAMETERS = {row.name: row for row in ROWS}
TYPES = Choice("type of parameter", MappedTables(lambda row: row.arguments, PARAMETERS))
