"""Write a deep network as an ODE; get a reversible torch module, its inverse and a proof.

program = odenet.load("specs/hamiltonian.ode", set={"h": 0.05})
flow = program.flow(channels=64, steps=10)
"""

from typing import TYPE_CHECKING, Any

from odenet.lazy_imports import import_attribute

__version__ = "0.1.0"

if TYPE_CHECKING:
    from odenet.compiler import Program, load, loads
    from odenet.conversion import convert, reversible
    from odenet.diagnostics import SpecError
    from odenet.footprint.advice import advise
    from odenet.plugins import (
        load_plugin,
        register_activation,
        register_claim,
        register_layer,
        register_map,
        register_parameter,
    )
    from odenet.runtime.optimizer_in_backward import OptimizerInBackward
    from odenet.training import evaluate, load_run, resume, train

# Where the public names live; each is imported when it is used.
_HOMES = {
    "compiler": ("Program", "load", "loads"),
    "conversion": ("convert", "reversible"),
    "diagnostics": ("SpecError",),
    "footprint.advice": ("advise",),
    "plugins": (
        "load_plugin", "register_activation", "register_claim", "register_layer", "register_map",
        "register_parameter",
    ),
    "runtime.optimizer_in_backward": ("OptimizerInBackward",),
    "training": ("evaluate", "load_run", "resume", "train"),
}  # fmt: skip

__all__ = [
    "OptimizerInBackward", "Program", "SpecError", "advise", "convert", "evaluate", "load",
    "load_plugin", "load_run", "loads", "register_activation", "register_claim", "register_layer",
    "register_map", "register_parameter", "resume", "reversible", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return import_attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
