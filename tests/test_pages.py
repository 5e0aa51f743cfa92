"""README and the pages of docs/: every snippet works when it is pasted.

The Python snippets of a page run one after the other. Complete specifications are compiled, fragments
are parsed. The arguments of all `odenet` commands must be accepted, and the quick commands are run.
`NOT_RUN` lists the snippets that cannot run here.
"""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
import typer

import odenet
import odenet.runtime
import odenet.training
from odenet.cli import app, main
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.claims import CLAIMS
from odenet.model.tables.given_modules import GIVEN_MODULES
from odenet.model.tables.layers import LAYER_ROWS
from odenet.model.tables.parameters import PARAMETERS
from tests.language.spec_texts import ROOT, parse_text

PAGES = ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
PAGES.remove("docs/errors.md")  # tests/diagnostics compiles its examples, faulty and corrected
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPEC_STATEMENT = re.compile(r"^ *(scheme |net +=|train \{|state |discretise )", re.MULTILINE)
PAGE_TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}

# Python snippets that are not run: a line of each, what it would need, and the test that covers it.
NOT_RUN = {
    "torch.onnx.export(network": "ten seconds; tests/runtime/test_export.py",
    "transformers.GPT2Config(": "seconds of imports; tests/conversion/test_library_models.py",
    "flow = torch.cuda.make_graphed_callables(": "a GPU",
    "from timm.models import register_model": "timm; tests/training/test_existing_networks.py",
    'run = odenet.load_run("runs/moons_density-1")': "a run; tests/training/test_likelihood.py",
    'run = odenet.load_run("runs/bytes-1")': "a run; tests/training/test_text.py",
    'run = odenet.load_run("runs/digits-1")': "a run; tests/training/test_trained_run.py",
    'result = odenet.train("specs/digits.ode"': "a training; tests/training/test_run.py",
    'torch.export.load("oscillator.pt2")': "a trained network; tests/training/test_trained_run.py",
}
DOWNLOADS = {'weights="DEFAULT"': "weights=None"}  # the same network without its trained weights
# Commands that end within a second; of the others only the arguments are checked.
QUICK_COMMANDS = {"compile", "explain", "fmt", "new", "schemes", "verify"}
# The name under which a page tells its reader to save the spec; mine.ode on other pages.
SAVED_SPEC_NAMES = {"docs/mathematics.md": "example.ode", "docs/writing.md": "ruth.ode"}
DIGITS_SPEC = (ROOT / "specs" / "digits.ode").read_text(encoding="utf-8")


def code_blocks(page, *languages):
    """The fenced code blocks of a page in these languages; "" is a block without a language."""
    return [text for language, text in FENCE.findall(PAGE_TEXTS[page]) if language in languages]


def specifications(page):
    """The code blocks of a page that are specifications or pieces of one."""
    return [text for text in code_blocks(page, "", "ode") if SPEC_STATEMENT.search(text)]


def odenet_commands(page):
    """The `odenet` commands on a page, each as the list of its arguments."""
    commands = []
    for text in code_blocks(page, "sh", ""):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.startswith("odenet ") else []
            if words[1:2] in ([], ["1"]):  # no command, or `odenet 1`, with which specs begin
                continue
            text = " ".join(map(shlex.quote, words)).replace("'&&'", "&&")
            commands += [shlex.split(command)[1:] for command in text.split(" && ")]
    return commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the specifications that come with odenet."""
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def restored_tables():
    """Removes the rows that a page's snippets add to the tables of the language."""
    tables = (ACTIVATIONS, CLAIMS, GIVEN_MODULES, LAYER_ROWS, PARAMETERS)
    rows_before = [dict(table) for table in tables]
    yield
    for table, rows in zip(tables, rows_before, strict=True):
        table.clear()
        table.update(rows)


@pytest.mark.parametrize("page", [page for page in PAGES if specifications(page)])
def test_specifications_are_compiled_and_pieces_of_them_parsed(page):
    for text in specifications(page):
        parse_text(text)
        if "state " in text:
            odenet.loads(text)


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page, "python")])
@pytest.mark.filterwarnings("ignore")  # some snippets show what causes a warning
@pytest.mark.usefixtures("restored_tables")
def test_snippets_run_one_after_the_other(page, folder):
    for text in specifications(page):
        if "map f = given" in text:  # the file that the snippet after it loads
            (folder / "mine.ode").write_text(text, encoding="utf-8")
    namespace = {"__name__": "page"}
    for text in code_blocks(page, "python"):
        for shown, replacement in DOWNLOADS.items():
            text = text.replace(shown, replacement)
        code = compile(text, page, "exec")
        if not any(line in text for line in NOT_RUN):
            exec(code, namespace)


def test_the_lines_of_snippets_that_are_not_run_are_still_on_the_pages():
    snippets = "".join(text for page in PAGES for text in code_blocks(page, "python"))
    assert all(line in snippets for line in NOT_RUN)


@pytest.mark.parametrize("page", [page for page in PAGES if odenet_commands(page)])
def test_shell_commands_are_accepted_and_the_quick_ones_run(page, folder, monkeypatch):
    texts = [text for text in specifications(page) if "discretise " in text]
    for name in {SAVED_SPEC_NAMES.get(page, "mine.ode"), "oscillator.ode"}:
        (folder / name).write_text(texts[0] if texts else DIGITS_SPEC, encoding="utf-8")
    commands = typer.main.get_command(app)
    for command, *words in odenet_commands(page):
        if "<" in words:  # only the shell can give a command its standard input
            continue
        context = commands.make_context("odenet", [command], resilient_parsing=True)
        commands.get_command(context, command).make_context(command, list(words))
        if command in QUICK_COMMANDS:
            if command == "new":
                (folder / f"{words[0]}.ode").unlink(missing_ok=True)
            monkeypatch.setattr(sys, "argv", ["odenet", command, *words])
            with pytest.raises(SystemExit) as end:
                main()
                sys.exit(0)
            assert not end.value.code, (page, command, words)


@pytest.mark.parametrize(
    "module", [odenet, odenet.training, odenet.runtime], ids=lambda m: m.__name__
)
def test_every_public_name_is_on_the_page_of_the_api(module):
    listed = set(re.findall(r"^::: ([\w.]+)$", PAGE_TEXTS["docs/api.md"], re.MULTILINE))
    for name in module.__all__:
        home = getattr(module, name).__module__
        assert {f"odenet.{name}", f"{module.__name__}.{name}", f"{home}.{name}"} & listed


def test_names_that_pages_show_need_no_further_import():
    texts = [
        text for page, text in PAGE_TEXTS.items() if page not in ("docs/api.md", "docs/editors.md")
    ]
    names = sorted(
        {n for t in texts for n in re.findall(r"(?<![\w/.-])odenet(?:\.[A-Za-z_]\w*)+", t)}
    )
    assert "odenet.conversion.find_blocks" in names
    script = (
        "import operator, sys, odenet\n"
        "for name in sys.argv[1:]: operator.attrgetter(name.removeprefix('odenet.'))(odenet)"
    )
    result = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True)
    assert not result.returncode, result.stderr


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    # README.md, the first of them, is not in docs/.
    assert all(f" {page.removeprefix('docs/')}\n" in navigation for page in PAGES[1:])
