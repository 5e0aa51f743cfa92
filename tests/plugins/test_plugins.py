"""Rows that a plugin adds at run time are compiled, proved, searched, trained and documented.

A row is an entry of a table of the language: an activation, a layer, a type of parameter, a claim.
"""

import ast
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import odenet
from odenet.analyse.claims import check_claims
from odenet.analyse.refute import search_witness
from odenet.cli import app
from odenet.diagnostics import Source, SpecError
from odenet.language.format import format_source
from odenet.laws import measure
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.activations import ROWS as BUILTIN_ACTIVATIONS
from odenet.model.tables.claims import ROWS as BUILTIN_CLAIMS
from odenet.model.tables.layers import LAYERS
from odenet.model.tables.layers import ROWS as BUILTIN_LAYERS
from odenet.model.tables.parameters import ROWS as BUILTIN_PARAMETERS
from odenet.plugins import Bound, Number, always, load_plugin, loaded_plugins, tables
from odenet.row_checks import check_activation, check_layer, check_parameter

ROOT = Path(__file__).parents[2]
PLUGIN = Path(__file__).parent / "example_plugin.py"
PROVED_SPEC = """\
odenet 1

state Y, Z
param P : flipped
param b : bias

Y' =  P^T squash(P Z + b)
Z' = -P^T squash(P Y)

discretise verlet(h = 0.1)

require imaginary
require frugal(2)

net = input(4, 6, 6) -> amplify(3) -> flow(2) -> squash -> mean -> dense(10)
"""
OPEN_SPEC = """\
state Y, Z
param P : flipped
map f = amplify -> squash
Y' = f(Z)
Z' = P Y
discretise verlet(h = 0.1)
"""


@pytest.fixture
def plugin():
    """The example plugin, loaded."""
    with load_plugin(PLUGIN) as loaded:
        yield loaded


@pytest.fixture
def remove_plugins():
    """Removes all plugins after the test, also those that the command line has loaded."""
    yield
    for loaded in loaded_plugins():
        loaded.remove()


def test_a_proof_an_energy_and_code_come_from_the_rows(plugin):
    program = odenet.loads(PROVED_SPEC)
    assert program.certificate.verdict == "imaginary"
    assert "squash is nondecreasing" in str(program.certificate)
    source = program.source()
    assert "from example_plugin import adjoint_flipped, flipped" in source
    assert "log1p" in source and "functional.softsign" in source
    assert program.network()(torch.randn(2, 4, 6, 6)).shape == (2, 10)
    laws = measure(program)
    assert {"adjoints", "gradient", "energy", "spectrum"} <= {law.name for law in laws}
    assert all(law.holds for law in laws)


def test_an_operator_without_a_bound_of_its_norm_leaves_out_the_bound_of_the_spectrum(plugin):
    from example_plugin import FLIPPED

    assert "def frequency_bound" in odenet.loads(PROVED_SPEC).source()
    unbounded = replace(
        FLIPPED, name="unbounded", operator=replace(FLIPPED.operator, norm_bound="")
    )
    with odenet.register_parameter(unbounded):
        source = odenet.loads(PROVED_SPEC.replace(": flipped", ": unbounded")).source()
    assert "def frequency_bound" not in source


def test_a_claim_is_judged_by_its_row(plugin):
    program = odenet.loads(PROVED_SPEC)
    imaginary, frugal = check_claims(program.facts)
    assert imaginary.holds is True and frugal.holds is True
    assert frugal.reason == "2 parameters are declared"
    program = odenet.loads(PROVED_SPEC.replace("frugal(2)", "frugal(1)"))
    _, frugal = check_claims(program.facts)
    assert frugal.holds is False
    with pytest.raises(SpecError, match=r"write `require frugal\(3\)`"):
        odenet.loads(PROVED_SPEC.replace("frugal(2)", "frugal"))


def test_a_witness_is_found_through_rows_and_rebuilt_by_the_module(plugin):
    program = odenet.loads(OPEN_SPEC)
    witness = search_witness(program.model)
    assert witness is not None and witness.eigenvalue.real > 0
    space = len(witness.space)
    flow = program.flow(channels=2 * witness.channels, steps=1, space=space).double().eval()
    flow.load_state_dict({"P": torch.tensor(witness.weights["P"])[None]}, strict=False)

    def field(state):
        parts = state.reshape(1, 2 * witness.channels, *witness.space).chunk(2, 1)
        return torch.cat(flow.field(parts)).reshape(-1)

    state = torch.tensor(np.concatenate([v.reshape(-1) for v in witness.state.values()]))
    eigenvalues = np.linalg.eigvals(torch.autograd.functional.jacobian(field, state).numpy())
    assert np.abs(eigenvalues - witness.eigenvalue).min() < 1e-6 * abs(witness.eigenvalue)


def test_latex_the_formatter_and_the_tables_know_the_rows(plugin):
    from odenet.emit.latex import equations

    assert "\\varsigma" in equations(odenet.loads(PROVED_SPEC).model)
    assert format_source(Source("x.ode", PROVED_SPEC)) == PROVED_SPEC
    text = tables()
    for line in (
        "| `squash` | 0 | 1 | yes | no |",
        "| `amplify(a = 2)` | yes | every channel times a factor, all by a |",
        "| `flipped(init = ones)` | the channels in the opposite order, one factor each |",
        "| `frugal(3)` | at most that many parameters are declared |",
    ):
        assert line in text.splitlines()


def test_the_command_line_takes_plugins_and_a_run_keeps_them(tmp_path, monkeypatch, remove_plugins):
    monkeypatch.chdir(tmp_path)
    text = PROVED_SPEC.replace("input(4, 6, 6)", "input(1, 8, 8) -> conv(3, 4)")
    Path("mine.ode").write_text(text, encoding="utf-8")
    recipe = ["--data", "digits", "--epochs", "1", "--fraction", "0.05", "--out", "run"]

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, Exception):
            raise result.exception
        return result

    with pytest.raises(SpecError, match="unknown type of parameter `flipped`"):
        run("compile", "mine.ode")
    assert "wrote mine.py" in run("compile", "mine.ode", "--plugin", PLUGIN).output
    assert "✓ frugal(2)" in run("check", "mine.ode", "--plugin", PLUGIN, "--no-numeric").output
    run("train", "mine.ode", "--plugin", PLUGIN, *recipe)
    assert (tmp_path / "run" / "plugins" / PLUGIN.name).read_text() == PLUGIN.read_text()
    for loaded in loaded_plugins():
        loaded.remove()
    with pytest.raises(Exception, match=r"was trained with the plugin example_plugin\.py"):
        run("eval", "run")
    assert "accuracy" in run("eval", "run", "--plugin", f"run/plugins/{PLUGIN.name}").output


def test_rows_are_gone_after_their_registration_ends():
    with load_plugin(PLUGIN):
        assert "squash" in ACTIVATIONS and "squash" in LAYERS
    assert "squash" not in ACTIVATIONS and "squash" not in LAYERS and "amplify" not in LAYERS
    with pytest.raises(SpecError, match="unknown name `squash`"):
        odenet.loads("state Y\nY' = squash(Y)\ndiscretise euler(h = 0.1)\n")


# --- rows that are refused -------------------------------------------------------------------------


def changed_squash(**changes):
    """The activation of the example plugin under another name, with changes."""
    from example_plugin import SQUASH

    return replace(SQUASH, name="other", **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"least_slope": always("0.1")}, "has slopes between .* and bounds 0.1 and 1"),
        ({"slope": always("0.5")}, "and bounds 0 and 0.5"),
        ({"nonnegative": True}, "is negative at some point"),
        ({"derivative": lambda x: 1 / (1 + abs(x))}, "has the slope"),
        ({"code": "torch.tanh({x})"}, "its code gives"),
        ({"module": "nn.Tanh()"}, "its module gives"),
        ({"primitive": "{x} ** 2 / 2"}, "its derivative of the primitive gives"),
        (
            {"value": lambda x: x / (1 + abs(x)) - 0.1 * (x > 0), "odd": False},
            "and bounds 0 and 1",  # a step down, of slope 0 on both sides
        ),
        ({"value": lambda x: 0.5 + x / (1 + abs(x))}, "is not odd"),
    ],
)
def test_an_activation_that_contradicts_itself_is_refused(plugin, changes, reason):
    with pytest.raises(ValueError, match=reason):
        odenet.register_activation(changed_squash(**changes))
    assert "other" not in ACTIVATIONS


def test_bounds_are_compared_for_several_constants(plugin):
    leaky = next(row for row in BUILTIN_ACTIVATIONS if row.name == "leaky_relu")
    wrong = Bound("max(1, a)", lambda a: max(Fraction(1), a))
    with pytest.raises(ValueError, match=r"leaking\(-2\) has slopes"):
        odenet.register_activation(replace(leaky, name="leaking", slope=wrong))
    # for constants of at least -1 the bound is right: the slopes are 1 and a, so |a| ≤ max(1, a)
    ranged = replace(leaky, name="leaking", slope=wrong, constants={"a": Number(-1)})
    with odenet.register_activation(ranged), pytest.raises(SpecError, match="at least -1"):
        odenet.loads("state Y\nY' = leaking(-1.5)(Y)\ndiscretise euler(h = 0.1)\n")


def test_operators_and_layers_that_contradict_themselves_are_refused(plugin):
    from example_plugin import AMPLIFY, FLIPPED

    wrong_adjoint = replace(FLIPPED.operator, adjoint="flipped")
    with pytest.raises(ValueError, match="its adjoint do not fit"):
        odenet.register_parameter(replace(FLIPPED, name="other", operator=wrong_adjoint))
    not_diagonal = replace(FLIPPED.operator, diagonal=True, adjoint="flipped")
    with pytest.raises(ValueError):
        odenet.register_parameter(replace(FLIPPED, name="other", operator=not_diagonal))
    too_low_bound = replace(FLIPPED.operator, norm_bound="{K}.abs().amin()")
    with pytest.raises(ValueError, match="larger norm than its bound"):
        odenet.register_parameter(replace(FLIPPED, name="other", operator=too_low_bound))

    def wrong_model(layer, weights, x, space):
        return 2.1 * x

    with pytest.raises(ValueError, match="and its numeric model differ"):
        odenet.register_layer(replace(AMPLIFY, name="other", numeric=wrong_model))


@pytest.mark.parametrize("name", ["squash", "relu", "flow", "I", "2fast", "param", "σ2"])
def test_names_that_are_taken_or_malformed_are_refused(plugin, name):
    with pytest.raises(ValueError, match=r"is taken|cannot name an activation"):
        odenet.register_activation(replace(changed_squash(), name=name))


def test_a_plugin_that_fails_leaves_nothing_behind(tmp_path):
    bad = tmp_path / "bad_plugin.py"
    bad.write_text(PLUGIN.read_text() + "\nodenet.register_claim(FRUGAL)\n", encoding="utf-8")
    text = bad.read_text().replace("from example_plugin", "from bad_plugin")
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"line \d+: ValueError: `frugal` is taken"):
        load_plugin(bad)
    assert "squash" not in ACTIVATIONS and loaded_plugins() == []
    with pytest.raises(SpecError, match="cannot be read"):
        load_plugin(tmp_path / "missing.py")


# --- the rows of the language ----------------------------------------------------------------------


@pytest.mark.parametrize("row", BUILTIN_ACTIVATIONS, ids=lambda row: row.name)
def test_an_activation_of_the_language_passes_its_own_checks(row):
    check_activation(row)


@pytest.mark.parametrize(
    "row", [row for row in BUILTIN_LAYERS if not row.is_network], ids=lambda row: row.name
)
def test_a_layer_of_the_language_passes_its_own_checks(row):
    check_layer(row)
    assert row.numeric is not None or not row.in_map


@pytest.mark.parametrize(
    "row", [row for row in BUILTIN_PARAMETERS if row.role != "norm"], ids=lambda row: row.name
)
def test_a_type_of_parameter_of_the_language_passes_its_own_checks(row):
    check_parameter(row)


# --- what CONTRIBUTING.md and docs/language.md promise ---------------------------------------------


def _table_rows(page, heading):
    """The cells of each row of the table of a documentation page that begins with a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = text[text.index(f"| {heading} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


SYNONYMS = ROOT / "odenet/model/tables/synonyms.py"  # it lists what other libraries call the rows


def test_a_row_needs_the_file_that_contributing_names_for_it():
    """No module of the compiler compares strings with the name of a row, but for the row's table."""
    files_of = {kind: files for kind, files, _ in _table_rows("../CONTRIBUTING.md", "what")}
    rows_by_kind = {
        "an activation": BUILTIN_ACTIVATIONS,
        "a layer": BUILTIN_LAYERS,
        "a type of `param`": BUILTIN_PARAMETERS,
        "a claim": BUILTIN_CLAIMS,
    }
    for kind, rows in rows_by_kind.items():
        table_file, *_ = re.findall(r"`(odenet/[\w/]+\.py)`", files_of[kind])
        other_files = [
            path
            for package in ("language", "model", "derive", "analyse", "emit", "cli")
            for path in sorted((ROOT / "odenet" / package).rglob("*.py"))
            # For claims only two modules: words such as "order" are keys of reports, too.
            if path not in (ROOT / table_file, SYNONYMS)
            and (kind != "a claim" or path.name in ("build.py", "claims.py"))
        ]
        names = {row.name for row in rows}
        for path in other_files:
            strings = set(_compared_strings(path.read_text(encoding="utf-8")))
            compared = (strings & names) - _SHARED_WORDS
            assert not compared, f"{path.name} tells {kind} by name: {compared}"


# Names of rows that also name an optimizer, a verdict, a kind of norm or the role of a parameter.
_SHARED_WORDS = {
    "identity", "real", "imaginary", "stable", "conv", "bias", "norm", "scalar",
}  # fmt: skip


def _compared_strings(code):
    """The strings that code compares with, and the keys of its dictionaries."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        elif isinstance(node, ast.Dict):
            operands = [key for key in node.keys if key is not None]
        else:
            continue
        for operand in operands:
            for child in ast.walk(operand):
                if isinstance(child, ast.Constant) and isinstance(child.value, str):
                    yield child.value


def test_the_plugin_in_the_page_of_the_language_works(tmp_path):
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# mine\.py\n.*?)```", text, re.DOTALL)
    file = tmp_path / "plugin_of_the_page.py"
    file.write_text(code, encoding="utf-8")
    with load_plugin(file):
        program = odenet.loads(
            "state Y\nparam K : conv(3)\nY' = softsign((K - K^T) Y)\ndiscretise midpoint(h = 0.1)\n"
        )
        assert program.certificate.verdict == "imaginary"
