"""What `odenet train` says before torch is imported, which takes many times as long."""

import os
from typing import TYPE_CHECKING

from odenet.cli.output import say

if TYPE_CHECKING:
    from odenet.compiler import Program

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # as torchrun, Lightning and Slurm number processes


def announce(program: "Program") -> None:
    """Print what is about to be trained, in the first of several processes."""
    if any(os.environ.get(name, "0") != "0" for name in _RANKS):
        return
    from odenet.model.tables.argument_kinds import show
    from odenet.model.typed.program import flows_of
    from odenet.model.typed.size import network_size

    model, claims = program.model, program.claims
    flows = [layer.arguments["N"] for layer in flows_of(model.net)]
    depth = f"{sum(flows)} steps in {len(flows)} flow{'s' if len(flows) > 1 else ''}"
    say(f"{model.name}: {model.description}" if model.description else model.name)
    data = "" if program.recipe.data is None else f"data {show(program.recipe.data)}; "
    others = ", ".join(f"`{model.spellings[m.name]}`" for m in model.given)
    size = f"{network_size(model).parameters:,} parameters" + (others and f" without {others}")
    say(f"  {data}input {model.input_shape}; {depth}; {size}")
    say(f"  {program.certificate.summary}")
    if claims:
        say(f"  {'; '.join(f'{claim.name} {claim.verdict}' for claim in claims)}")
