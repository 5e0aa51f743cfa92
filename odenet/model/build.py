"""From the syntax tree to the typed program."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from odenet.diagnostics import Report, Source, suggest
from odenet.language import parse, tree
from odenet.model.declarations import Declarations, Loader
from odenet.model.discretise import read_discretisation
from odenet.model.dynamics import read_dynamics
from odenet.model.elaborate import Rejected
from odenet.model.layers import LayerError
from odenet.model.numbers import Width, fixed
from odenet.model.pipelines import Pipelines
from odenet.model.program import Claim, Dynamics, MapDefinition, Model
from odenet.model.recipe import Entry, Recipe, check_recipe, recipe_keys

CLAIMS = ("reversible", "imaginary", "real", "stable", "order", "symmetric", "volume_preserving", "exact")
DEFAULT_SPACE = 2


def build(
    file: tree.File, source: Source, load: Loader, settings: Mapping[str, Any], report: Report
) -> Model:
    """The typed program of a file.

    Args:
        file: its syntax tree.
        source: its text.
        load: reads the files that `use` names.
        settings: values from outside, by name: numbers of `let`, constants of the scheme, keys of
            the recipe.
        report: takes what is wrong.

    Raises:
        SpecError: with everything that is wrong.
    """
    remaining = _settings(settings, report)
    declared = Declarations(file, load, report)
    _apply_to_lets(remaining, declared)
    dynamics = read_dynamics(file, declared.scope, report)
    discretisation = None if report.failed else read_discretisation(declared, dynamics, remaining, report)
    claims = _claims(declared, report)
    pipelines = Pipelines(declared.values, _flow_shape(dynamics), report)
    net, input_shape = _net(file, pipelines, report)
    maps = _maps(declared, pipelines, len(input_shape.space) if input_shape else DEFAULT_SPACE)
    declared.check_used()
    recipe = _recipe(declared, remaining, report)
    _unknown_settings(remaining, declared, report)
    report.check()
    assert discretisation is not None
    return Model(
        source, PurePath(source.name).stem, _description(file),
        {name: declared.scope.evaluate(value) for name, value in declared.scope.constants().items()},
        declared.scope.parameters, maps, dynamics, discretisation, claims, net, input_shape, recipe,
        {name.id: name.spelling for name in declared.scope.declared.values()} | discretisation.scheme.spellings,
        tuple(let for name, let in declared.scope.lets.items() if name in declared.scope.used),
    )  # fmt: skip


def _description(file: tree.File) -> str:
    return " ".join(d.text for d in file.of(tree.Description))


def _settings(settings: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The settings as syntax: a text is parsed as the value it would be in the file."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        text = value if isinstance(value, str) else _literal(value)
        source = Source(f"--set {name}", f"train {{\n{name} = {text}\n}}")
        inner = Report()
        train = parse(source, inner).of(tree.Train)
        if inner.failed or not train or len(train[0].settings) != 1:
            report.error(f"--set {name}={text} cannot be read", None,
                         help="write --set NAME=VALUE, as in --set h=0.05")  # fmt: skip
            continue
        (setting,) = train[0].settings
        found[setting.key.id] = setting
    return found


def _literal(value: Any) -> str:
    """A Python value as it is written in a file."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return str(value)


def _apply_to_lets(settings: dict[str, Any], declared: Declarations) -> None:
    """Settings that name a `let` replace its value; the others become plain values."""
    for name in list(settings):
        if name in declared.scope.lets:
            declared.scope.settings[name] = settings.pop(name).value
    for name, setting in settings.items():
        try:
            settings[name] = Entry(name, declared.values.value(setting.value), setting.key.span,
                                   setting.value.span)  # fmt: skip
        except Rejected:
            continue


def _flow_shape(dynamics: Dynamics):
    """The channels after a flow, from those before it."""

    def after(channels: Width) -> Width | LayerError:
        if channels.constant % dynamics.parts:
            parts = dynamics.parts
            return LayerError(
                f"{channels} channels do not fall into {parts} equal parts, one for each state",
                f"make the channel count a multiple of {parts}",
            )
        return fixed(dynamics.width_out.at(int(channels.constant) // dynamics.parts))

    return after


def _claims(declared: Declarations, report: Report) -> tuple[Claim, ...]:
    found = []
    for line in declared.file.of(tree.Require):
        try:
            call = declared.values.call(line.claim)
        except Rejected:
            continue
        number = int(call.args[0]) if len(call.args) == 1 and call.name == "order" else None
        if call.name not in CLAIMS or bool(call.args) != (call.name == "order"):
            help_ = suggest(call.name, CLAIMS) or f"known: {', '.join(CLAIMS[:4])}, order(2), " + ", ".join(CLAIMS[5:])
            report.error(f"unknown claim `{call}`", line.claim.span, help=help_)
            continue
        found.append(Claim(call.name, number, line.span))
    return tuple(found)


def _net(file: tree.File, pipelines: Pipelines, report: Report):
    nets = file.of(tree.Net)
    if len(nets) > 1:
        report.error("a file has one net", nets[1].span, help="remove one")
    return pipelines.net(nets[0].layers) if nets else ((), None)


def _maps(declared: Declarations, pipelines: Pipelines, space: int) -> dict[str, MapDefinition]:
    found = {}
    for name, statement in declared.scope.maps.items():
        try:
            layers = pipelines.map(statement.layers, statement.name, space)
            found[name] = MapDefinition(name, statement.shared, layers, statement.span)
        except Rejected:
            continue
    return found


def _recipe(declared: Declarations, settings: dict[str, Any], report: Report) -> Recipe:
    blocks = declared.file.of(tree.Train)
    if len(blocks) > 1:
        report.error("a file has one `train { … }`", blocks[1].span, help="join them")
    entries = []
    for setting in blocks[0].settings if blocks else ():
        try:
            value = declared.values.value(setting.value)
        except Rejected:
            continue
        entries.append(Entry(setting.key.id, value, setting.key.span, setting.value.span))
    outside = [settings.pop(name) for name in list(settings) if name in recipe_keys()]
    replaced = {entry.key for entry in outside}
    recipe, problems = check_recipe([e for e in entries if e.key not in replaced] + outside)
    for problem in problems:
        report.error(problem.message, problem.span, problem.label, problem.help)
    return recipe


def _unknown_settings(settings: dict[str, Any], declared: Declarations, report: Report) -> None:
    known = {*declared.scope.lets, *recipe_keys(), "h", "T"}
    for name, entry in settings.items():
        help_ = suggest(name, known) or f"this file has {', '.join(sorted(declared.scope.lets)) or 'no let'}"
        report.error(f"nothing here is called `{name}`", entry.key_span, help=help_)
