"""The activations of the language: one row each, and nothing else to touch to add one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ActivationKind:
    """One activation.

    Args:
        name: its name in the language.
        code: torch code of the function; `{x}` is the argument, `{0}` the first constant.
        module: torch code of the layer.
        constants: the names of its constants.
        slope: the largest derivative, a function of the constants: an upper bound for certain, for
            proofs rest on it.
        least_slope: a lower bound of the derivative, likewise; only where it can be negative, None
            where there is no such bound.
        nondecreasing: whether its derivative is never negative, a function of the constants;
            what the spectrum certificate rests on.
        primitive: torch code of Ψ with Ψ' = φ and Ψ >= 0 where possible, for the energy; empty
            when torch has no closed form.
    """

    name: str
    code: str
    module: str
    constants: tuple[str, ...] = ()
    slope: Callable[..., float] = lambda *_: 1.0
    least_slope: Callable[..., float] | None = None
    nondecreasing: Callable[..., bool] = lambda *_: True
    primitive: str = ""


def _never(*_: float) -> bool:
    return False


ROWS = (
    ActivationKind("relu", "torch.relu({x})", "nn.ReLU()", primitive="torch.relu({x}) ** 2 / 2"),
    ActivationKind(
        "tanh",
        "torch.tanh({x})",
        "nn.Tanh()",
        primitive="torch.logaddexp({x}, -{x})",
    ),
    ActivationKind(
        "sigmoid",
        "torch.sigmoid({x})",
        "nn.Sigmoid()",
        slope=lambda: 0.25,
        primitive="functional.softplus({x})",
    ),
    ActivationKind("softplus", "functional.softplus({x})", "nn.Softplus()"),
    ActivationKind(
        "elu",
        "functional.elu({x})",
        "nn.ELU()",
        primitive="torch.where({x} > 0, {x} ** 2 / 2, torch.exp({x}.clamp(max=0)) - 1 - {x})",
    ),
    ActivationKind(
        "leaky_relu",
        "functional.leaky_relu({x}, {0})",
        "nn.LeakyReLU({0})",
        constants=("a",),
        slope=lambda a: max(1.0, a),
        least_slope=lambda a: min(1.0, a),
        nondecreasing=lambda a: a >= 0,
        primitive="{x} * functional.leaky_relu({x}, {0}) / 2",
    ),
    ActivationKind(
        "hardtanh",
        "functional.hardtanh({x})",
        "nn.Hardtanh()",
        primitive="torch.where({x}.abs() < 1, {x} ** 2 / 2, {x}.abs() - 0.5)",
    ),
    ActivationKind("identity", "{x}", "nn.Identity()", primitive="{x} ** 2 / 2"),
    ActivationKind(
        "shrink",
        "functional.softshrink({x}, {0})",
        "nn.Softshrink({0})",
        constants=("λ",),
        primitive="torch.relu({x}.abs() - {0}) ** 2 / 2",
    ),
    ActivationKind(
        "gelu",
        "functional.gelu({x})",
        "nn.GELU()",
        slope=lambda: 1.13,  # Φ(√2) + √2 φ(√2) = 1.12890…; the least is 1 less it
        least_slope=lambda: -0.129,
        nondecreasing=_never,
    ),
    ActivationKind(
        "silu",
        "functional.silu({x})",
        "nn.SiLU()",
        slope=lambda: 1.1,  # 1.09983…; the least is 1 less it
        least_slope=lambda: -0.1,
        nondecreasing=_never,
    ),
    ActivationKind(
        "sin",
        "torch.sin({x})",
        "Elementwise(torch.sin)",
        least_slope=lambda: -1.0,
        nondecreasing=_never,
        primitive="1 - torch.cos({x})",
    ),
)

ACTIVATIONS = {row.name: row for row in ROWS}
