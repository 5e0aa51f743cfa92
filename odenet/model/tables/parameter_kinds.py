"""The classes of the rows in the table of types of `param` (parameters.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from odenet.model.tables.choices import Parameter
from odenet.model.tables.tensors import Array, Dual, Space, Tensors

Options = Mapping[str, Any]  # the arguments of a type by name, complete with defaults


@dataclass(frozen=True)
class Construction:
    """Pieces of torch code for the call that makes a parameter.

    Args:
        steps: code of the number of steps, the length of its leading axis.
        in_channels, out_channels: code of the numbers of input and output channels.
        axes: the number of spatial axes.
        init: takes the rule that the call uses by default, and gives the code of the argument,
            `, init=…`; empty if the parameter has that rule.
    """

    steps: str
    in_channels: str
    out_channels: str
    axes: int
    init: Callable[[str], str]


@dataclass(frozen=True)
class Operator:
    """How a parameter that is a linear operator K acts on a feature map x.

    Args:
        function, adjoint: names of functions `f(x, K, **keywords)` for K x and Kᵀ x, from
            odenet.runtime or from the imports of the row.
        numeric: K x for the numeric checks, from the options, the tensor of one step, x and the
            sizes of the spatial axes.
        keywords: the keyword arguments of these functions that differ from their defaults, from the
            options and the number of output channels.
        norm_bound: torch code of an upper bound of the operator norm, with the fields `{K}`, the
            tensor, `{label}`, a name for it, and `{keywords}`; empty if there is none.
        kernel: whether a sum of such operators is one operator, with the sum of the kernels.
        diagonal: whether it multiplies every channel by a number, and so is its own adjoint.
    """

    function: str
    adjoint: str
    numeric: Callable[[Options, Array, Dual, Space], Dual]
    keywords: Callable[[Options, Any], Mapping[str, Any]] = lambda options, channels: {}
    norm_bound: str = ""
    kernel: bool = False
    diagonal: bool = False


@dataclass(frozen=True)
class ParameterKind:
    """A row of the table: one type of parameter.

    Args:
        name: its name in the language.
        role: what it is in a formula: a linear operator, a bias, which is added to a feature map, a
            number, or a norm, which is applied as a function.
        meaning: in words, for the documentation.
        arguments: its arguments.
        tensors: its tensors for one step, by name ("" for the only one), from the options, the
            channels it reads and gives, and the number of spatial axes.
        construct: torch code of the call that makes it for all steps.
        width_source: where its channel counts come from: its arguments `in` and `out`, those of a
            state, its first use in a formula, or nowhere, as it has none.
        operator: how it acts, if its role is "operator".
        needs_image: whether it needs spatial axes, as a convolution does.
        mixes_places: whether an output value depends on input at other places.
        groups: the number of equal groups that its channels have to fall into, from the options.
        value: torch code of its value, from the options and the code of the stored tensor.
        problem: what is wrong with a combination of arguments that are valid by themselves, and the
            help; two empty texts if nothing is.
        imports: lines of import that the code needs in addition to torch and odenet.runtime.
    """

    name: str
    role: Literal["operator", "bias", "scalar", "norm"]
    meaning: str
    arguments: Mapping[str, Parameter]
    tensors: Callable[[Options, int, int, int], Tensors]
    construct: Callable[[Options, Construction], str]
    width_source: Literal["arguments", "state", "use", "none"] = "use"
    operator: Operator | None = None
    needs_image: bool = False
    mixes_places: bool = False
    groups: Callable[[Options], int] = lambda options: 1
    value: Callable[[Options, str], str] = lambda options, stored: stored
    problem: Callable[[Options], tuple[str, str]] = lambda options: ("", "")
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.operator is None) == (self.role == "operator"):
            raise ValueError(f"`{self.name}` is an operator exactly if its row says what it does")
