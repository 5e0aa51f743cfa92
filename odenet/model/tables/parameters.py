"""The types of `param`, such as `conv` or `bias`, as a table: a new type needs only a row here."""

from collections.abc import Callable, Mapping
from typing import Any

from odenet.model.tables.argument_kinds import Call, Number, Word
from odenet.model.tables.arguments import COUNT, channels, init
from odenet.model.tables.choices import Choice, MappedTables, Parameter
from odenet.model.tables.norms import NORMS
from odenet.model.tables.parameter_kinds import Construction, Operator, Options, ParameterKind
from odenet.model.tables.tensors import Array, Distribution, Dual, Space, Tensor, Tensors


def _kernel_tensors(groups: Callable[[Options, int], int]) -> Callable[..., Tensors]:
    """A function that gives the tensors of a convolution: one (out channels, in / groups, k, …)."""

    def tensors(options: Options, c_in: int, c_out: int, axes: int) -> Tensors:
        sizes = (int(options.get("k", 1)),) * axes
        return {"": Tensor((c_out, c_in // groups(options, c_in), *sizes))}

    return tensors


def is_positive(options: Options) -> bool:
    """Whether its values, or the gain of a norm, are above 0 by construction."""
    return options.get("positive") == "positive"


def _positive(subject: str) -> Parameter:
    """The argument `positive`; `subject` is what it is about, with a verb, as in "they are"."""
    return Parameter(Word(("positive", "free")), f"says whether {subject} kept above 0", "free")


def _softplus_code(options: Options, stored: str) -> str:
    return f"functional.softplus({stored})" if is_positive(options) else stored


def _distribution(options: Options) -> Distribution:
    return "gain" if is_positive(options) else "weight"


def _positive_code(options: Options) -> str:
    return ", positive=True" if is_positive(options) else ""


def _check_positive_init(options: Options) -> tuple[str, str]:
    """Error and help for a positive parameter whose initial values may be 0 or negative."""
    init: Call = options["init"]
    if not is_positive(options) or init.name == "ones" or init.kwargs.get("value", 0) > 0:
        return "", ""
    return "what is kept above 0 begins above 0", "write `init = ones`, or a number above 0"


def _per_channel_tensors(options: Options, c_in: int, c_out: int, axes: int) -> Tensors:
    return {"": Tensor((c_in, *(1,) * axes), _distribution(options))}


def _conv_code(options: Options, code: Construction, groups: str) -> str:
    keywords = f"kernel={options.get('k', 1)}, space={code.axes}"
    keywords += (f", groups={groups}" if groups != "1" else "") + code.init("he")
    return f"conv_kernel({code.steps}, {code.in_channels}, {code.out_channels}, {keywords})"


def _convolve(options: Options, K: Array, x: Dual, space: Space) -> Dual:
    return x.convolved(K, space, len(x) // K.shape[1], int(options.get("dilation", 1)))


def _keywords(groups: Callable[[Options, Any], Any]) -> Callable[[Options, Any], Mapping[str, Any]]:
    """A function that gives the keyword arguments `groups` and `dilation`, where they are not 1."""

    def keywords(options: Options, channels: Any) -> Mapping[str, Any]:
        values = {"groups": groups(options, channels), "dilation": options.get("dilation", 1)}
        return {name: value for name, value in values.items() if value != 1}

    return keywords


_POWER_ITERATION = 'self.norm("{label}", {K}, step{keywords})'


def _convolution(groups: Callable[[Options, Any], Any]) -> Operator:
    return Operator(
        function="conv",
        adjoint="adjoint_conv",
        numeric=_convolve,
        keywords=_keywords(groups),
        norm_bound=_POWER_ITERATION,
        kernel=True,
    )


def _normalisation_code(options: Options, code: Construction) -> str:
    kind = options["kind"]
    groups = f", groups={options['group']}" if NORMS[kind].grouped else ""
    keywords = f"space={code.axes}{groups}{_positive_code(options)}{code.init('ones')}"
    return f'norm_layers({code.steps}, "{kind}", {code.in_channels}, {keywords})'


def _check_norm(options: Options) -> tuple[str, str]:
    if NORMS[options["kind"]].grouped == (options["group"] > 0):
        return _check_positive_init(options)
    return "which norm?", "write norm(batch), norm(layer) or norm(group = 8)"


_KNOTS = Parameter(Number(2, whole=True), "counts the knots between which it moves in time", 0)
_KERNEL = Parameter(COUNT, "is the kernel's size along each axis")
_DILATION = Parameter(COUNT, "is the distance of the kernel's points", 1, by_name=True)
_IN = channels("counts the channels it reads")
_OUT = channels("counts the channels it gives")

ROWS = (
    ParameterKind(
        name="conv",
        role="operator",
        meaning='convolution, `k` points per axis, "same" padding, no bias. Its transpose is the '
        "exact adjoint, whatever the padding",
        arguments={
            "k": _KERNEL,
            "out": _OUT,
            "groups": Parameter(COUNT, "counts the groups of channels", 1, by_name=True),
            "dilation": _DILATION,
            "in": _IN,
            "init": init("he"),
            "knots": _KNOTS,
        },
        tensors=_kernel_tensors(lambda options, c_in: int(options["groups"])),
        construct=lambda options, code: _conv_code(options, code, str(options["groups"])),
        width_source="arguments",
        operator=_convolution(lambda options, channels: options["groups"]),
        needs_image=True,
        mixes_places=True,
        groups=lambda options: int(options["groups"]),
    ),
    ParameterKind(
        name="depthwise",
        role="operator",
        meaning="convolution of every channel by itself",
        arguments={"k": _KERNEL, "dilation": _DILATION, "init": init("he"), "knots": _KNOTS},
        tensors=_kernel_tensors(lambda options, c_in: c_in),
        construct=lambda options, code: _conv_code(options, code, code.in_channels),
        width_source="state",
        operator=_convolution(lambda options, channels: channels),
        needs_image=True,
        mixes_places=True,
    ),
    ParameterKind(
        name="pointwise",
        role="operator",
        meaning="convolution with one point",
        arguments={"out": _OUT, "in": _IN, "init": init("he"), "knots": _KNOTS},
        tensors=_kernel_tensors(lambda options, c_in: 1),
        construct=lambda options, code: _conv_code(options, code, "1"),
        width_source="arguments",
        operator=_convolution(lambda options, channels: 1),
        needs_image=True,
    ),
    ParameterKind(
        name="dense",
        role="operator",
        meaning="full matrix on the channel axis",
        arguments={"out": _OUT, "in": _IN, "init": init("he"), "knots": _KNOTS},
        tensors=lambda options, c_in, c_out, axes: {"": Tensor((c_out, c_in))},
        construct=lambda options, code: (
            f"dense_matrix({code.steps}, {code.in_channels}, {code.out_channels}{code.init('he')})"
        ),
        width_source="arguments",
        operator=Operator(
            function="dense",
            adjoint="adjoint_dense",
            numeric=lambda options, K, x, space: K @ x,
            norm_bound=_POWER_ITERATION,
            kernel=True,
        ),
    ),
    ParameterKind(
        name="diag",
        role="operator",
        meaning="one factor per channel: a symmetric operator; `diag(positive)` keeps them above 0",
        arguments={"positive": _positive("they are"), "init": init("ones"), "knots": _KNOTS},
        tensors=_per_channel_tensors,
        construct=lambda options, code: (
            f"diagonal({code.steps}, {code.in_channels}, space={code.axes}"
            f"{_positive_code(options)}{code.init('ones')})"
        ),
        value=_softplus_code,
        problem=_check_positive_init,
        operator=Operator(
            function="diag",
            adjoint="diag",
            numeric=lambda options, K, x, space: K.reshape(-1, 1) * x,
            norm_bound="{K}.abs().amax()",
            diagonal=True,
        ),
    ),
    ParameterKind(
        name="bias",
        role="bias",
        meaning="one value per channel of whatever it is added to",
        arguments={"init": init("zeros"), "knots": _KNOTS},
        tensors=_per_channel_tensors,
        construct=lambda options, code: (
            f"bias({code.steps}, {code.in_channels}, space={code.axes}{code.init('zeros')})"
        ),
    ),
    ParameterKind(
        name="scalar",
        role="scalar",
        meaning="one learned number; `scalar(positive)` keeps it above 0",
        arguments={"positive": _positive("it is"), "init": init("ones"), "knots": _KNOTS},
        tensors=lambda options, c_in, c_out, axes: {"": Tensor((), _distribution(options))},
        construct=lambda options, code: (
            f"scalar({code.steps}{_positive_code(options)}{code.init('ones')})"
        ),
        width_source="none",
        value=_softplus_code,
        problem=_check_positive_init,
    ),
    ParameterKind(
        name="norm",
        role="norm",
        meaning="a normalisation, applied as `N(K Z)`: `norm(batch)`, `norm(layer)` or "
        "`norm(group = 8)`; `norm(batch, positive)` keeps its gain above 0; `init` is the gain",
        arguments={
            "kind": Parameter(Word(tuple(NORMS)), "is its kind", "group"),
            "positive": _positive("the gain is"),
            "group": Parameter(Number(0, whole=True), "counts its groups", 0),
            "init": init("ones"),
        },
        tensors=lambda options, c_in, c_out, axes: NORMS[options["kind"]].tensors(c_in),
        construct=_normalisation_code,
        groups=lambda options: int(options["group"]) or 1,
        problem=_check_norm,
    ),
)

PARAMETERS = {row.name: row for row in ROWS}
PARAMETER_TYPES = Choice("type of parameter", MappedTables(lambda row: row.arguments, PARAMETERS))
