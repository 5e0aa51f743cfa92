"""What a row says of a type of `param`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from odenet.model.tables.choices import Parameter
from odenet.model.tables.tensors import Array, Dual, Space, Tensors

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Construction:
    """Code for the constructor of a parameter.

    Args:
        steps: of the leading axis.
        reads, gives: channels.
        space: number of spatial axes.
        init: the argument `, init=…`; empty where it is the rule that it is handed.
    """

    steps: str
    reads: str
    gives: str
    space: int
    init: Callable[[str], str]


@dataclass(frozen=True)
class Operator:
    """What a parameter that is a linear operator does to a field.

    Args:
        function, adjoint: names of functions `f(x, K, **keywords)` for K x and Kᵀ x, of
            odenet.runtime or of the row's imports.
        numeric: K x for the numeric checks, from the options, one step's tensor, x and the sizes
            of the map.
        keywords: the keywords of these functions that are not the usual ones, from the options and
            the number of channels that K gives.
        norm: torch code of a bound of the operator's norm, of `{K}`, `{label}` and `{keywords}`;
            empty where there is none.
        kernel: whether a sum of such operators is one kernel that `function` takes.
        diagonal: whether it multiplies every channel by the value of its tensor, and so is its own
            adjoint.
    """

    function: str
    adjoint: str
    numeric: Callable[[Options, Array, Dual, Space], Dual]
    keywords: Callable[[Options, Any], Mapping[str, Any]] = lambda options, channels: {}
    norm: str = ""
    kernel: bool = False
    diagonal: bool = False


@dataclass(frozen=True)
class ParameterKind:
    """One type of parameter.

    Args:
        name: its name in the language.
        role: what it is in a formula: an operator, a value added to a field, a number, or a norm,
            which is applied as a function.
        meaning: in words, for the documentation.
        arguments: its arguments.
        tensors: its tensors for one step, by name ("" for the only one), from the options, the
            channels it reads and gives, and the number of spatial axes.
        construct: torch code that makes it for all steps, from the options.
        width: where its channels come from: its arguments `in` and `out`, those of a state, where
            it first occurs, or it has none.
        operator: what an operator does.
        needs_image: whether it cannot act on plain vectors.
        mixes_places: whether it reads other places of a map than the one it gives.
        groups: into how many equal parts its channels fall, from the options.
        value: torch code of its value, from the options and the code of its stored tensor.
        problem: what is wrong with a choice of arguments, each by itself fine, and what to write
            instead; empty texts if nothing is.
        imports: lines of import that the code needs in addition to torch and odenet.runtime.
    """

    name: str
    role: Literal["operator", "bias", "scalar", "norm"]
    meaning: str
    arguments: Mapping[str, Parameter]
    tensors: Callable[[Options, int, int, int], Tensors]
    construct: Callable[[Options, Construction], str]
    width: Literal["arguments", "state", "use", "none"] = "use"
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
