"""The modules that Python gives to maps, by the names that a generated module has for them."""

from collections.abc import Mapping
from typing import Any

from odenet.diagnostics import SpecError
from odenet.emit.frame import Frame
from odenet.language import canonical
from odenet.model.tables.given import GIVEN
from odenet.model.typed.program import Model


def given_modules(
    model: Model, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes the modules of given maps, and which of the arguments are left.

    Args:
        model: whose maps.
        arguments: by the name of a map, what makes its module; other names are left. A map
            without one takes what `odenet.register_map` has for its name.

    Raises:
        SpecError: nothing is given for a map.
    """
    left = {canonical(name): name for name in arguments}
    found: dict[str, Any] = {}
    for definition in model.given:
        spelling = left.pop(definition.name, None)
        make = GIVEN.get(definition.name) if spelling is None else arguments[spelling]
        if make is None:
            shown = model.spellings[definition.name]
            message = f"the module of `{shown}` is given from Python, and none was given"
            help_ = (
                f"write program.flow(channels, steps, {shown}=make_block), or "
                f'odenet.register_map("{shown}", make_block) in a file for --plugin'
            )
            raise SpecError.of("missing-module", message, definition.span, help_)
        found[Frame(model).names("spec", definition.name)] = make
    return found, {spelling: arguments[spelling] for spelling in left.values()}
