"""Builds the typed program of a file from its syntax tree; reads its claims, maps and recipe."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from odenet.diagnostics import Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.made_schemes import InverseOf
from odenet.model.fitting.flows import FlowChecks, FlowShapes
from odenet.model.reading.crops import check_crops
from odenet.model.reading.declarations import Declarations
from odenet.model.reading.discretise import read_discretisation
from odenet.model.reading.dynamics import read_dynamics
from odenet.model.reading.file_warnings import file_warnings
from odenet.model.reading.pipelines import Pipelines
from odenet.model.reading.settings import LENGTH_KEYS, Settings
from odenet.model.reading.step_constants import check_ramps, check_steps, check_times
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.recipe import Recipe, recipe_keys
from odenet.model.tables.recipe_checks import RecipeEntry, check_recipe
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Claim, MapDefinition, Model, flow_axes

DEFAULT_SPACE = 2  # axes of a feature map, where no net says how many

# A syntax error in one of these statements does not affect the equations. They are kinds of
# `tree.Unparsed`: "odenet" is that of a line `odenet 1`, "string" that of a description.
_WITHOUT_EQUATIONS = ("net", "train", "require", "odenet", "string", "discretise", "discretize")


def build(
    file: tree.File,
    used_files: Sequence[tree.File],
    set_values: Mapping[str, Any],
    inverse_of: InverseOf,
    report: Report,
) -> Model:
    """The typed program of a file.

    Args:
        file: its syntax tree.
        used_files: the files that it uses, each after those that it uses itself.
        set_values: values that replace those in the file, by name, as `--set` gives them.
        inverse_of: derives the lines of a scheme's inverse; odenet.derive does it.
        report: collects the errors.

    Raises:
        SpecError: if there are errors; with all of them.
    """
    errors_before = report.error_count
    settings = Settings(set_values, report)
    declarations = Declarations(file, used_files, settings, inverse_of, report)
    scope = declarations.scope
    dynamics = read_dynamics(file, scope, report)
    # equations with an error, or of which one may be lost, are not compared with anything
    all_read = all(lost.kind in _WITHOUT_EQUATIONS for lost in declarations.lost_statements)
    valid_dynamics = dynamics if all_read and report.error_count == errors_before else None
    discretisation = read_discretisation(declarations, valid_dynamics, settings, report)
    claims = _claims(declarations, report)
    net, input_shape, maps = _pipelines(declarations, FlowShapes(valid_dynamics), report)
    scheme = discretisation.scheme if discretisation else None
    if valid_dynamics is not None:
        FlowChecks(dynamics, scope.parameters, maps, discretisation, report).check(net)
    declarations.report_unused()  # after the flows, which note the names that they use
    constants = scope.constants()
    scope.read_remaining_lets(file.statements_of(tree.Let))
    recipe = _recipe(declarations, settings, discretisation, report)
    check_crops(recipe, input_shape, report)
    if discretisation is not None:
        check_steps(discretisation, net, report)
        check_times(discretisation, dynamics, scope.parameters, report)
        if file.statements_of(tree.Train):
            check_ramps(discretisation, recipe, report)
    if discretisation is not None or not report.error_count:
        settings.report_rest(scope, _settable_names(discretisation))
    report.raise_if_errors()
    map_layers = (layer for definition in maps.values() for layer in definition.layers)
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
        lets=tuple(let for name, let in scope.lets.items() if name in scope.used_names),
        warnings=tuple(file_warnings(file, scope, input_shape, (*net, *map_layers))),
    )


def _settable_names(discretisation: Discretisation | None) -> list[str]:
    """The names that can be set, other than those of `let`s."""
    if discretisation is None:
        return [*recipe_keys(), "lr"]
    step_settings = ["h", "T"] if discretisation.scheme.uses_step_size else []
    return [*step_settings, *discretisation.constants, *recipe_keys(), "lr"]


def _claims(declarations: Declarations, report: Report) -> tuple[Claim, ...]:
    """The claims of the `require` lines; wrong ones are reported and left out."""
    claims: list[Claim] = []
    for line in declarations.file.statements_of(tree.Require):
        with suppress(Rejected):
            _reject_connectives(line.claim, report)
            call = declarations.argument_reader.call(line.claim, "a claim")
            claims.append(_claim(line, call, report))
    return tuple(claims)


def _claim(line: tree.Require, call: Call, report: Report) -> Claim:
    """The claim of a line, with its order of accuracy if it is one of order; raises Rejected."""
    kind = CLAIMS.get(call.name)
    if kind is None:
        forms = [known.usage for known in CLAIMS.values()]
        help_ = help_for_name("claim", call.name, forms) or f"known: {', '.join(forms)}"
        report.reject("unknown-claim", f"unknown claim `{call.name}`", line.claim.span, help_)
    match call.args:  # the claim takes a number if it has an example of one
        case () if not kind.example and not call.kwargs:
            return Claim(call.name, number=None, span=line.span)
        case (Fraction(denominator=1) as order,) if kind.example and order > 0 and not call.kwargs:
            return Claim(call.name, number=int(order), span=line.span)
        case _:
            help_ = f"write `require {kind.usage}`"
            report.reject("unknown-claim", f"`{call}` is not a claim", line.claim.span, help_)


def _reject_connectives(claim: tree.Value, report: Report) -> None:
    """Reject `not a` and `a and b`, which are not claims."""
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


def _pipelines(declarations: Declarations, flow_shapes: FlowShapes, report: Report):
    """The layers of the net, the shape of its input, and the maps."""
    pipelines = Pipelines(declarations.argument_reader, flow_shapes, report)
    statements = declarations.file.statements_of(tree.Net)
    for extra in statements[1:]:
        report.error("given-twice", "a file has one net", extra.span, "remove one")
    net, input_shape = pipelines.net(statements[0].layers) if statements else ((), None)
    axes = flow_axes(net, input_shape)
    axes = DEFAULT_SPACE if axes is None else axes
    maps: dict[str, MapDefinition] = {}
    for name, statement in declarations.scope.maps.items():
        if _is_given(statement, declarations):
            maps[name] = MapDefinition(name, statement.shared, (), statement.span, is_given=True)
            continue
        with suppress(Rejected):
            layers = pipelines.map(statement.layers, statement.name, axes)
            maps[name] = MapDefinition(name, statement.shared, layers, statement.span)
    return net, input_shape, maps


def _is_given(statement: tree.Map, declarations: Declarations) -> bool:
    """Whether a map is `given`, a module from Python; a `let` can redefine the word `given`."""
    match statement.layers.layers:
        case (tree.Name("given"),):
            return "given" not in declarations.scope.lets
        case _:
            return False


def _recipe(
    declarations: Declarations,
    settings: Settings,
    discretisation: Discretisation | None,
    report: Report,
) -> Recipe:
    """The recipe of the file, with the keys that are set from outside instead of its own."""
    blocks = declarations.file.statements_of(tree.Train)
    for extra in blocks[1:]:
        report.error("given-twice", "a file has one `train { … }`", extra.span, "join them")
    entries: list[RecipeEntry] = []
    for line in blocks[0].settings if blocks else ():
        try:
            value = declarations.argument_reader.value(line.value)
        except Rejected:
            continue
        entries.append(RecipeEntry(line.key.id, value, line.key.span, line.value.span))
    new_entries = settings.take(recipe_keys(), declarations.argument_reader)
    replaced = {entry.key for entry in new_entries}
    if replaced & LENGTH_KEYS:  # they exclude each other: one of them replaces both of the file's
        replaced |= LENGTH_KEYS
    entries = [e for e in entries if e.key not in replaced] + new_entries
    entries = settings.replace_arguments(entries, declarations.argument_reader)
    recipe, problems = check_recipe(entries)
    for problem in problems:
        report.add(problem)
    if recipe.levels and discretisation is not None:
        _check_levels(discretisation, next(e for e in entries if e.key == "levels"), report)
    return recipe


def _check_levels(discretisation: Discretisation, entry: RecipeEntry, report: Report) -> None:
    """Report `levels`, which makes training double the steps, where h cannot be halved."""
    reason, help_ = discretisation.why_unrefinable
    if not discretisation.scheme.uses_step_size:
        reason = f"{discretisation.scheme.name} has no step size to halve"
        help_ = "leave `levels` out"
    if reason:
        message = f"levels cannot refine the flows: {reason}"
        report.error("cannot-refine", message, entry.value_span, help_)
