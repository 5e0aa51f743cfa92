"""Write a deep network as an ODE; get a reversible torch module, its inverse and a proof.

program = odenet.load("specs/hamiltonian.ode", set={"h": 0.05})
flow = program.flow(channels=64, steps=10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    from odenet.runtime.in_backward import OptimizerInBackward
    from odenet.training import evaluate, load_run, resume, train

# Where the public names live; each is imported when it is used, so that `import odenet` loads
# neither torch nor sympy.
_HOMES = {
    "odenet.compiler": ("Program", "load", "loads"),
    "odenet.conversion": ("convert", "reversible"),
    "odenet.diagnostics": ("SpecError",),
    "odenet.footprint.advice": ("advise",),
    "odenet.plugins": (
        "load_plugin", "register_activation", "register_claim", "register_layer", "register_map",
        "register_parameter",
    ),
    "odenet.runtime.in_backward": ("OptimizerInBackward",),
    "odenet.training": ("evaluate", "load_run", "resume", "train"),
}  # fmt: skip

__all__ = [
    "OptimizerInBackward", "Program", "SpecError", "advise", "convert", "evaluate", "load",
    "load_plugin", "load_run", "loads", "register_activation", "register_claim", "register_layer",
    "register_map", "register_parameter", "resume", "reversible", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'odenet' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
