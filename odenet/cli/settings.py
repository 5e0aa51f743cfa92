"""Options that several commands share."""

from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Set a number of the spec, or a key of its recipe."
    ),
]


def read_settings(settings: list[str] | None) -> dict[str, str]:
    """`["h=0.05"]` as a mapping; a usage error when an item is not of that form."""
    found = {}
    for item in settings or []:
        name, equals, value = item.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise typer.BadParameter(f"'{item}' is not of the form NAME=VALUE", param_hint="--set")
        found[name.strip()] = value.strip()
    return found
