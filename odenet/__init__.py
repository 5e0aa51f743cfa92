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
    "OptimizerInBackward": "odenet.runtime.in_backward",
    "Program": "odenet.compiler",
    "SpecError": "odenet.diagnostics",
    "advise": "odenet.footprint.advice",
    "convert": "odenet.conversion",
    "load": "odenet.compiler",
    "loads": "odenet.compiler",
    "load_plugin": "odenet.plugins",
    "evaluate": "odenet.training",
    "load_run": "odenet.training",
    "register_activation": "odenet.plugins",
    "register_claim": "odenet.plugins",
    "register_layer": "odenet.plugins",
    "register_map": "odenet.plugins",
    "register_parameter": "odenet.plugins",
    "resume": "odenet.training",
    "reversible": "odenet.conversion",
    "train": "odenet.training",
}

__all__ = [
    "OptimizerInBackward", "Program", "SpecError", "advise", "convert", "evaluate", "load",
    "load_plugin", "load_run", "loads", "register_activation", "register_claim", "register_layer",
    "register_map", "register_parameter", "resume", "reversible", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'odenet' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
