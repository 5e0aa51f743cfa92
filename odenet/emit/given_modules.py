"""Lookup of the functions that make the modules of maps that Python gives (`map f = given`)."""

from collections.abc import Mapping
from typing import Any

from odenet.diagnostics import SpecError
from odenet.emit.symbols import SymbolTable
from odenet.language import canonical
from odenet.model.tables.given_modules import GIVEN_MODULES
from odenet.model.typed.program import Model


def given_modules(
    model: Model, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two dicts: the functions that make modules, by the map's Python name; the other arguments.

    Args:
        model: the model with the maps.
        arguments: functions by the name of a map, and other arguments. A map without one takes
            the function that `odenet.register_map` has for its name.

    Raises:
        SpecError: nothing is given for a map.
    """
    remaining = {canonical(name): name for name in arguments}
    makers: dict[str, Any] = {}
    for definition in model.given_maps:
        spelling = remaining.pop(definition.name, None)
        make = GIVEN_MODULES.get(definition.name) if spelling is None else arguments[spelling]
        if make is None:
            shown = model.spellings[definition.name]
            message = f"the module of `{shown}` is given from Python, and none was given"
            help_ = (
                f"write program.flow(channels, steps, {shown}=make_block), or "
                f'odenet.register_map("{shown}", make_block) in a file for --plugin'
            )
            raise SpecError.of("missing-module", message, definition.span, help_)
        makers[SymbolTable(model).spec_name(definition.name)] = make
    return makers, {spelling: arguments[spelling] for spelling in remaining.values()}
