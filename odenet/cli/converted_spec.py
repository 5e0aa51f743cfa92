"""`odenet train resnet50 --convert momentum`: writes the specification of the converted network."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from odenet.compiler import Program

# `name` is that of the network, `quoted` the same in quotation marks, `definition` the text of the
# scheme (empty for one that ships with odenet), `scheme` the scheme's name with its constants.
SPEC_TEMPLATE = """\
"{name}, whose residual blocks are steps of a reversible scheme."

state x
map   f = given    # the output of a block, minus its input

x' = f(x)

{definition}discretise {scheme}

let size = 224
net = input(3, size, size) -> existing({quoted}, 1000)

train {{
    batch     = 32
    epochs    = 10
    optimizer = sgd(lr = 0.01)
}}
"""


def load_program(spec: str, settings: dict[str, Any], convert: str | None) -> "Program":
    """The program of a file, or of a converted network.

    Args:
        spec: the path of an .ode file; with `convert`, the name of a network.
        settings: the values of --set, as `odenet.load` takes them.
        convert: the scheme for the network's blocks, as `--convert` takes it; None for a file.
    """
    import odenet

    if convert is None:
        return odenet.load(spec, set=settings)
    return converted_program(spec, convert, settings)


def converted_program(name: str, scheme: str, settings: Mapping[str, Any]) -> "Program":
    """The program of a network of torchvision or timm whose blocks are steps of a scheme.

    Args:
        name: the name of the network.
        scheme: the name of a scheme of odenet, alone or with constants, as in `midpoint(h = 0.5)`;
            a file that ends in `.ode`; or the text of a scheme, as `odenet.convert` takes it.
        settings: the values of --set, as `odenet.load` takes them.
    """
    import odenet

    quoted = json.dumps(name, ensure_ascii=False)
    is_file_or_text = scheme.endswith(".ode") or "{" in scheme
    definition, call = _definition_and_call(scheme) if is_file_or_text else ("", scheme)
    values = {"quoted": quoted, "scheme": _with_constants(call), "definition": definition}
    text = SPEC_TEMPLATE.format(name=name, **values)
    return odenet.loads(text, settings, f"{re.sub(r'[^0-9A-Za-z_]', '_', name)}.ode")


def _definition_and_call(scheme: str) -> tuple[str, str]:
    """The definition of a scheme in a file or text, and its name with its constants.

    The definition is empty if the text uses a scheme of odenet.
    """
    from odenet.conversion.schemes import choose_scheme

    try:
        chosen = choose_scheme(scheme)
        constants = chosen.merge_constants({})  # the defaults
        arguments = ", ".join(f"{name} = {float(value):g}" for name, value in constants.items())
    except (OSError, TypeError, ValueError) as error:
        help_ = "give a file whose `discretise` line sets every constant to a number"
        raise typer.BadParameter(f"{error}; {help_}", param_hint="--convert") from None
    definition = f"{chosen.text.strip()}\n\n" if chosen.text else ""
    return definition, f"{chosen.scheme.name}({arguments})" if arguments else chosen.scheme.name


def _with_constants(call: str) -> str:
    """`midpoint` as `midpoint(h = 1)`: with its default constants, unless some are given."""
    from odenet.model.elaboration.library import library_names, library_scheme
    from odenet.model.expressions.expr import Number

    if "(" in call or call not in library_names():
        return call
    scheme = library_scheme(call)
    values = {
        name: value.value if isinstance(value, Number) else None
        for name, value in scheme.constants
        if name not in scheme.implied_constants  # a file may not set these
    }
    step_size = {"h": 1} if scheme.uses_step_size else {}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise typer.BadParameter(
            f'{call} needs a value, as in "{call}({missing[0]} = 0.5)"', param_hint="--convert"
        )
    numbers = {name: float(value or 0) for name, value in (values | step_size).items()}
    arguments = ", ".join(f"{name} = {value:g}" for name, value in numbers.items())
    return f"{call}({arguments})" if arguments else call
