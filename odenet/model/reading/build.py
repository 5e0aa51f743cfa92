"""From the syntax tree to the typed program."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.made import Invert
from odenet.model.fitting.flows import FlowChecks, FlowShapes
from odenet.model.reading.crops import check_crops
from odenet.model.reading.declarations import Declarations
from odenet.model.reading.discretise import read_discretisation
from odenet.model.reading.dynamics import read_dynamics
from odenet.model.reading.notes import notes
from odenet.model.reading.pipelines import Pipelines
from odenet.model.reading.settings import LENGTH, Settings
from odenet.model.reading.step_constants import check_ramps, check_steps, check_times
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.recipe import Recipe, recipe_keys
from odenet.model.tables.recipe_checks import RecipeSetting, check_recipe
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Claim, MapDefinition, Model, flow_axes

DEFAULT_SPACE = 2

# A syntax error in one of these does not affect the equations.
_WITHOUT_EQUATIONS = ("net", "train", "require", "odenet", "string", "discretise", "discretize")


def build(
    file: tree.File,
    used: Sequence[tree.File],
    settings: Mapping[str, Any],
    invert: Invert,
    report: Report,
) -> Model:
    """The typed program of a file.

    Args:
        file: its syntax tree.
        used: the files that it uses, those that they use before them.
        settings: values from overrides, by name.
        invert: the inverse of a scheme, which a later stage derives.
        report: takes what is wrong.

    Raises:
        SpecError: with everything that is wrong.
    """
    before = report.errors
    overrides = Settings(settings, report)
    declared = Declarations(file, used, overrides, invert, report)
    scope = declared.scope
    dynamics = read_dynamics(file, scope, report)
    complete = all(lost.kind in _WITHOUT_EQUATIONS for lost in declared.lost)
    understood = dynamics if complete and report.errors == before else None
    discretisation = read_discretisation(declared, understood, overrides, report)
    claims = _claims(declared, report)
    shape = FlowShapes(understood)
    net, input_shape, maps = _pipelines(declared, shape, report)
    scheme = discretisation.scheme if discretisation else None
    if understood is not None:
        FlowChecks(dynamics, scope.parameters, maps, discretisation, report).check(net)
    declared.check_used()  # after the flows, which look at what they use
    constants = scope.constants()
    scope.read_unused(file.statements_of(tree.Let))
    recipe = _recipe(declared, overrides, discretisation, report)
    check_crops(recipe, input_shape, report)
    if discretisation is not None:
        check_steps(discretisation, net, report)
        check_times(discretisation, dynamics, scope.parameters, report)
        if file.statements_of(tree.Train):
            check_ramps(discretisation, recipe, report)
    if discretisation is not None or not report.errors:
        overrides.report_rest(scope, _settable(discretisation))
    report.check()
    in_maps = (layer for definition in maps.values() for layer in definition.layers)
    description = " ".join(line.text for line in file.statements_of(tree.Description))
    spellings = {name.id: name.spelling for name in scope.declared.values()}
    source = file.span.source
    return Model(
        source=source,
        name=PurePath(source.name).stem,
        description=description,
        constants=constants,
        parameters=scope.parameters,
        maps=maps,
        dynamics=dynamics,
        discretisation_or_none=discretisation,
        claims=claims,
        net=net,
        input_shape=input_shape,
        recipe=recipe,
        spellings=spellings | (scheme.spellings if scheme else {}),
        lets=tuple(let for name, let in scope.lets.items() if name in scope.used),
        notes=tuple(notes(file, scope, input_shape, (*net, *in_maps))),
    )


def _settable(discretisation: Discretisation | None) -> list[str]:
    if discretisation is None:
        return [*recipe_keys(), "lr"]
    steps = ["h", "T"] if discretisation.scheme.uses_step_size else []
    return [*steps, *discretisation.constants, *recipe_keys(), "lr"]


def _claims(declared: Declarations, report: Report) -> tuple[Claim, ...]:
    found: list[Claim] = []
    for line in declared.file.statements_of(tree.Require):
        with suppress(Rejected):
            _check_single(line.claim, report)
            found.append(_claim(line, declared.arguments.call(line.claim, "a claim"), report))
    return tuple(found)


def _claim(line: tree.Require, call: Call, report: Report) -> Claim:
    """A claim, with the order of accuracy that it claims, if it does; raises Rejected."""
    row = CLAIMS.get(call.name)
    if row is None:
        known = [kind.usage for kind in CLAIMS.values()]
        help_ = help_for_name("claim", call.name, known) or f"known: {', '.join(known)}"
        report.reject("unknown-claim", f"unknown claim `{call.name}`", line.claim.span, help_)
    match call.args:
        case () if not row.example and not call.kwargs:
            return Claim(call.name, None, line.span)
        case (Fraction(denominator=1) as order,) if row.example and order > 0 and not call.kwargs:
            return Claim(call.name, int(order), line.span)
        case _:
            help_ = f"write `require {row.usage}`"
            report.reject("unknown-claim", f"`{call}` is not a claim", line.claim.span, help_)


def _check_single(claim: tree.Value, report: Report) -> None:
    """Refuse `not a` and `a and b`, which are not claims; raises Rejected."""
    match claim:
        case tree.Term(((_, tree.Name(id="not") as word), ("", _), *_)):
            message = "a claim says what holds, and has no opposite"
            help_ = "leave the line out: what does not hold is shown by `odenet compile`"
        case tree.Term(((_, first), ("", tree.Name(id="and" | "or") as word), *_)):
            message = "a line has one claim"
            help_ = f"write `require {first.span.text}`"
            help_ += ", and the other in a line of its own" if word.id == "and" else " or the other"
        case _:
            return
    report.reject("syntax", message, word.span, help_)


def _pipelines(declared: Declarations, shape: FlowShapes, report: Report):
    """The layers of the net, the shape of its input, and the maps."""
    pipelines = Pipelines(declared.arguments, shape, report)
    nets = declared.file.statements_of(tree.Net)
    for extra in nets[1:]:
        report.error("given-twice", "a file has one net", extra.span, "remove one")
    net, input_shape = pipelines.net(nets[0].layers) if nets else ((), None)
    axes = flow_axes(net, input_shape)
    space = DEFAULT_SPACE if axes is None else axes
    maps: dict[str, MapDefinition] = {}
    for name, statement in declared.scope.maps.items():
        if _is_given(statement, declared):
            maps[name] = MapDefinition(name, statement.shared, (), statement.span, is_given=True)
            continue
        with suppress(Rejected):
            layers = pipelines.map(statement.layers, statement.name, space)
            maps[name] = MapDefinition(name, statement.shared, layers, statement.span)
    return net, input_shape, maps


def _is_given(statement: tree.Map, declared: Declarations) -> bool:
    """Whether a map is `given`, a word that a `let` may take for an activation."""
    match statement.layers.layers:
        case (tree.Name("given"),):
            return "given" not in declared.scope.lets
        case _:
            return False


def _recipe(
    declared: Declarations, overrides: Settings, chosen: Discretisation | None, report: Report
) -> Recipe:
    """The recipe of the file, with the keys that are set from outside in place of its own."""
    blocks = declared.file.statements_of(tree.Train)
    for extra in blocks[1:]:
        report.error("given-twice", "a file has one `train { … }`", extra.span, "join them")
    entries: list[RecipeSetting] = []
    for setting in blocks[0].settings if blocks else ():
        try:
            value = declared.arguments.value(setting.value)
        except Rejected:
            continue
        entries.append(RecipeSetting(setting.key.id, value, setting.key.span, setting.value.span))
    replacing = overrides.take(recipe_keys(), declared.arguments)
    replaced = {entry.key for entry in replacing}
    if replaced & LENGTH:  # they exclude each other: one of them replaces both of the file's
        replaced |= LENGTH
    entries = [e for e in entries if e.key not in replaced] + replacing
    entries = overrides.take_parts(entries, declared.arguments)
    recipe, problems = check_recipe(entries)
    for problem in problems:
        report.add(problem)
    if recipe.levels and chosen is not None:
        _check_levels(chosen, next(e for e in entries if e.key == "levels"), report)
    return recipe


def _check_levels(chosen: Discretisation, entry: RecipeSetting, report: Report) -> None:
    """Report `levels`, where training doubles the steps, if half of h gives another equation."""
    why, cure = chosen.why_unrefinable
    if not chosen.scheme.uses_step_size:
        why, cure = f"{chosen.scheme.name} has no step size to halve", "leave `levels` out"
    if why:
        message = f"levels cannot refine the flows: {why}"
        report.error("cannot-refine", message, entry.value_span, cure)
