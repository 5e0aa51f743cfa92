"""The tables in docs/language.md, made from the tables of the language, plugins included."""

from collections.abc import Iterable, Mapping
from typing import Any

from odenet.model.expressions.numbers import Width
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.arguments import INITIALISATIONS
from odenet.model.tables.choices import Parameter
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.layers import LAYERS, SAME_WIDTH
from odenet.model.tables.parameters import PARAMETERS
from odenet.model.tables.structural_layers import RESIDUAL, STRUCTURAL

MEANINGS = {  # of the layers with a structure of their own
    "flow": "N steps of the discretised dynamics, with an `h` of its own when it is given",
    "unit": "N steps of the discretised dynamics, the first of which enters with C channels and a "
    "coarser map, see below",
    "keep": "hands on what it is given, and keeps it for the `join` of that name, see below",
    "join": "the kept channels after those that it is given; with `add` their sum",
    "residual": "the result of the layers plus their input, then an activation; where the layers "
    "shrink the image or change the channels, the shortcut takes every stride-th value, or "
    "averages, and adds zero channels (He et al. 2016, option A), or is a convolution with one "
    "point and a batch norm (option B)",
}


def signature(name: str, arguments: Mapping[str, Parameter]) -> str:
    """A name with its arguments as it is documented: with the defaults of optional arguments."""
    parameters = [
        key if parameter.default in (None, SAME_WIDTH) else f"{key} = {_default(parameter.default)}"
        for key, parameter in arguments.items()
    ]
    return f"{name}({', '.join(parameters)})" if parameters else name


def types() -> list[str]:
    """The table of the types of `param`, with their arguments."""
    rows = [(f"`{signature(r.name, r.arguments)}`", r.meaning) for r in PARAMETERS.values()]
    return _table(("type", "what it is"), rows)


def initialisations() -> list[str]:
    """The rules of `init`, with their arguments."""
    return [signature(name, form) for name, form in INITIALISATIONS.forms.items()]


def activations() -> list[str]:
    """The table of activations, with the bounds of their slopes."""
    head = ("activation", "slope at least", "size of the slope at most", "odd", "never negative")
    rows = [
        (
            f"`{signature(r.name, r.arguments)}`",
            r.least_slope.text,
            r.slope.text,
            _yes_no(r.odd),
            _yes_no(r.nonnegative),
        )
        for r in ACTIVATIONS.values()
    ]
    return _table(head, rows)


def layers() -> list[str]:
    """The table of layers, without activations."""
    plain = [LAYERS[name] for name in LAYERS if name not in ACTIVATIONS]
    rows = [(f"`{signature(r.name, r.arguments)}`", _yes_no(r.in_map), r.meaning) for r in plain]
    rows += [(f"`{signature(n, form)}`", "no", MEANINGS[n]) for n, form in STRUCTURAL.items()]
    options = signature("residual", RESIDUAL.forms["residual"])
    rows.append((f"`{options.replace('(', '(LAYERS, ')}`", "no", MEANINGS["residual"]))
    return _table(("layer", "in a `map`", "what it does"), rows)


def claims() -> list[str]:
    """The table of claims of `require`."""
    rows = [(f"`{row.usage}`", row.meaning) for row in CLAIMS.values()]
    return _table(("claim", "what it says"), rows)


def tables() -> str:
    """All tables as Markdown."""
    return "\n\n".join("\n".join(t) for t in (types(), activations(), layers(), claims())) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" if line[0] != "---" else f"|{'|'.join(line)}|"
            for line in lines]  # fmt: skip


def _yes_no(fact: bool) -> str:
    """The word "yes" or "no"."""
    return "yes" if fact else "no"


def _default(value: Any) -> str:
    """A default as it is written in a file."""
    if isinstance(value, Call):
        return value.name
    if isinstance(value, Width):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
