"""`odenet train resnet50 --convert momentum`: the specification that this is short for."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from odenet.compiler import Program

SPEC = """\
"{name}, whose residual blocks are steps of a reversible scheme."

state x
map   f = given    # a block less its input

x' = f(x)

{block}discretise {scheme}

let size = 224
net = input(3, size, size) -> existing({quoted}, 1000)

train {{
    batch     = 32
    epochs    = 10
    optimizer = sgd(lr = 0.01)
}}
"""


def read_program(spec: str, settings: dict[str, Any], convert: str | None) -> "Program":
    """The program of a file, or of a converted network."""
    import odenet

    if convert is None:
        return odenet.load(spec, set=settings)
    return existing_program(spec, convert, settings)


def existing_program(name: str, scheme: str, settings: Mapping[str, Any]) -> "Program":
    """The program of a network of a library, converted.

    Args:
        name: of the network.
        scheme: of the library, alone, or with its constants, as in `midpoint(h = 0.5)`; or a file
            that ends in `.ode`, or a text, as `odenet.convert` takes it.
        settings: as of `odenet.load`.
    """
    import odenet

    quoted = json.dumps(name, ensure_ascii=False)
    block, used = _written(scheme) if scheme.endswith(".ode") or "{" in scheme else ("", scheme)
    text = SPEC.format(name=name, quoted=quoted, scheme=_with_constants(used), block=block)
    return odenet.loads(text, settings, f"{re.sub(r'[^0-9A-Za-z_]', '_', name)}.ode")


def _written(scheme: str) -> tuple[str, str]:
    """The text of a scheme, empty for one of the library, and its use with the constants."""
    from odenet.conversion.schemes import choose_scheme

    try:
        chosen = choose_scheme(scheme)
        constants = chosen.merge_constants({})
        used = ", ".join(f"{name} = {float(value):g}" for name, value in constants.items())
    except (OSError, TypeError, ValueError) as error:
        cure = "with a file that has a `discretise` line of numbers it is taken as it says there"
        raise typer.BadParameter(f"{error}; {cure}", param_hint="--convert") from None
    block = f"{chosen.text.strip()}\n\n" if chosen.text else ""
    return block, f"{chosen.scheme.name}({used})" if used else chosen.scheme.name


def _with_constants(scheme: str) -> str:
    """A scheme with its own constants, and h = 1, where nothing else is said."""
    from odenet.model.elaboration.library import library, library_scheme
    from odenet.model.expressions.expr import Number

    if "(" in scheme or scheme not in library():
        return scheme
    found = library_scheme(scheme)
    values = {
        name: value.value if isinstance(value, Number) else None
        for name, value in found.constants
        if name not in found.implied_constants
    }
    steps = {"h": 1} if found.uses_step_size else {}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise typer.BadParameter(
            f'{scheme} needs a value, as in "{scheme}({missing[0]} = 0.5)"', param_hint="--convert"
        )
    numbers = {name: float(value or 0) for name, value in (values | steps).items()}
    written = ", ".join(f"{name} = {value:g}" for name, value in numbers.items())
    return f"{scheme}({written})" if written else scheme
