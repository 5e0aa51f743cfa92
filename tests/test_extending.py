"""How odenet is extended: one new entry of every kind, in no other files than CONTRIBUTING.md names.

The entries are inserted into a copy of the package, and a process that imports the copy uses them all.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TABLES = "odenet/model/tables"

# kind of entry -> file -> (a text in the file, what is inserted after it); that text is "" if the file
# is new
ADDITIONS = {
    "a scheme": {
        "odenet/schemes/ruth.ode": (
            "",
            """\
scheme ruth {                         # Ruth 1983, order 3
    for Y' = F(Z), Z' = G(Y)
    Z1     = Z[n] + 7/24 h G(Y[n])
    Y1     = Y[n] + 2/3 h F(Z1)
    Z2     = Z1 + 3/4 h G(Y1)
    Y2     = Y1 - 2/3 h F(Z2)
    Z[n+1] = Z2 - 1/24 h G(Y2)
    Y[n+1] = Y2 + h F(Z[n+1])
}
""",
        ),
    },
    "an activation": {
        f"{TABLES}/activations.py": (
            "ROWS = (\n",
            '''\
    ActivationKind(
        "bend",
        code="functional.softsign({x})",
        module="nn.Softsign()",
        value=lambda x: x / (1 + abs(x)),
        derivative=lambda x: 1 / (1 + abs(x)) ** 2,
        odd=True,
    ),
''',
        ),
    },
    "a layer": {
        f"{TABLES}/layers.py": (
            "ROWS = (\n",
            '''\
    LayerKind(
        "thrice",
        "every value times 3",
        arguments={},
        code=lambda layer, width: "Elementwise(lambda x: 3 * x)",
        numeric=lambda layer, weights, x, space: 3 * x,
    ),
''',
        ),
    },
    "a type of `param`": {
        f"{TABLES}/parameters.py": (
            "ROWS = (\n",
            '''\
    ParameterKind(
        "gains",
        role="operator",
        meaning="one factor for each channel",
        arguments={"init": init("ones")},
        tensors=_per_channel_tensors,
        construct=lambda options, make: (
            f"diagonal({make.steps}, {make.in_channels}, space={make.axes}{make.init('ones')})"
        ),
        operator=Operator("diag", "diag", lambda options, K, x, space: K.reshape(-1, 1) * x),
    ),
''',
        ),
    },
    "a claim": {
        f"{TABLES}/claims.py": (
            "ROWS = (\n",
            '    ClaimKind("thrifty", "at most that many parameters", f"{_MODULE}:thrifty", example=3),\n',
        ),
        "odenet/analyse/claims.py": (
            'VERDICT_MARKS = {True: "✓", False: "✗", None: "?"}\n',
            '''\


def thrifty(facts: Facts, claim: Any) -> Answer:
    count = len(facts.model.parameters)
    return Answer(count <= claim.number, f"{count} parameters are declared")
''',
        ),
    },
    "a data set": {
        f"{TABLES}/data_sets.py": (
            "ROWS = (\n",
            '    DataSetKind(name="specks", source="odenet.training.data.data_sets:specks", arguments=_POINTS),\n',
        ),
        "odenet/training/data/data_sets.py": (
            "TEST_SHARE = 0.2  # of shapes and points\n",
            '''\


def specks(data: Call, shape: Sequence[int]) -> DataSet:
    return _points(data, (np.zeros((data["n"], 2)), np.arange(data["n"]) % 2))
''',
        ),
    },
    "a command": {
        "odenet/cli/checking.py": (
            "from odenet.json_text import to_json\n",
            '''\


def greet(name: str) -> None:
    """Say good morning."""
    say(f"good morning, {name}")
''',
        ),
        "odenet/cli/__init__.py": (
            'app.command("check")(checking.check)\n',
            'app.command("greet")(checking.greet)\n',
        ),
    },
}  # fmt: skip
SPEC = """\
state Y, Z
param P : gains
param b : bias
Y' =  P^T bend(P Z + b)
Z' = -P^T bend(P Y)
discretise ruth(h = 0.1)
require imaginary
require thrifty(2)
net = input(4, 6, 6) -> thrice -> flow(2) -> bend -> mean -> dense(10)
train { data = specks(n = 50) }
"""
SCRIPT = r"""
import json, sys
from pathlib import Path

import torch

import odenet
from odenet import cli
from odenet.plugins import tables
from odenet.training.data.data_sets import load_data

program = odenet.load("mine.ode")
network = program.network()
inputs = torch.randn(2, 4, 6, 6)
network(inputs).sum().backward()
flow = program.flow(channels=4, steps=2).double()
state = flow.initial(inputs.double())
back = flow.retreat(flow.advance(state))
listed = [name for name in ("bend", "thrice", "gains", "thrifty") if f"`{name}" in tables()]
data = load_data(program.recipe.data, (2,))
print(json.dumps({
    "home": str(Path(odenet.__file__).parents[1]),
    "verdict": program.certificate.verdict,
    "claims": [claim.verdict for claim in program.claims],
    "order": program.derivation.order,
    "gradients": all(p.grad is not None for p in network.parameters()),
    "round_trip_error": max(float((a - b).abs().max()) for a, b in zip(state, back)),
    "listed": listed,
    "samples": [len(data.train), len(data.test)],
}), flush=True)
sys.argv[1:] = ["greet", "Ada"]
cli.main()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """What `SCRIPT` prints in a process that imports a copy of odenet with all `ADDITIONS`."""
    copy = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "odenet", copy / "odenet", ignore=ignore)
    shutil.copy(ROOT / "grammar.lark", copy)
    for files in ADDITIONS.values():
        for name, (anchor, addition) in files.items():
            path = copy / name
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            before, _, after = text.partition(anchor) if anchor else ("", "", "")
            assert not anchor or after, f"{name} has no {anchor!r}"
            path.write_text(before + anchor + addition + after, encoding="utf-8")
    (copy / "mine.ode").write_text(SPEC)
    result = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT],
        env={"PYTHONPATH": str(copy), "PATH": "", "OMP_NUM_THREADS": "1"},
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    facts, greeting = result.stdout.strip().split("\n")
    return {**json.loads(facts), "greeting": greeting, "copy": str(copy)}


@pytest.mark.parametrize("kind", ADDITIONS)
def test_an_entry_of_a_kind_is_added_to_the_files_that_contributing_names(kind):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {kind} |")]
    named = re.findall(r"`((?:odenet)/[\w/.]+)`", row.split(" | ")[1])
    named = [name.replace("NAME", "ruth") for name in named]
    for file in ADDITIONS[kind]:
        assert file in named or str(Path(file).parent) in named
    for name in named:
        assert any(Path(file).is_relative_to(name) for file in ADDITIONS[kind])


def test_the_copy_is_what_ran(report):
    assert report["home"] == report["copy"]


def test_a_made_up_scheme_is_derived_and_undone(report):
    assert report["order"] == 3
    assert report["round_trip_error"] < 1e-12


def test_a_made_up_activation_layer_and_parameter_are_proved_and_trained(report):
    assert report["verdict"] == "imaginary"
    assert report["gradients"]
    assert report["listed"] == ["bend", "thrice", "gains", "thrifty"]


def test_a_made_up_claim_is_judged(report):
    assert report["claims"] == ["proved", "proved"]


def test_a_made_up_data_set_is_loaded(report):
    assert report["samples"] == [40, 10]  # for training and test


def test_a_made_up_command_runs(report):
    assert report["greeting"] == "good morning, Ada"
