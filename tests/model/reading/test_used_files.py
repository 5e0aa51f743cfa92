"""The statement `use`: schemes and lets from other files."""

import pytest

from odenet.compiler import load
from odenet.diagnostics import SpecError

MAIN = """
use "lib/mine.ode"
state Y
param K : conv(3)
Y' = gain σ(K Y)
discretise mine(h = 0.1)
"""
USED = """
use "more.ode"
let gain = 2 half
scheme mine {
    for Y' = F(Y)
    Y[n+1] = Y[n] + h F(Y[n])
}
"""
NESTED = "let half = 1/2\nlet σ = tanh\nlet never = half\nstate ignored\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with MAIN, the file that it uses, and the one that this uses in turn."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "main.ode").write_text(MAIN, encoding="utf-8")
    (tmp_path / "lib" / "mine.ode").write_text(USED, encoding="utf-8")
    (tmp_path / "lib" / "more.ode").write_text(NESTED, encoding="utf-8")
    return tmp_path


def load_model(folder):
    return load(folder / "main.ode").model


def messages_and_help(folder):
    """(message, help) of each error in the spec of a folder."""
    with pytest.raises(SpecError) as caught:
        load_model(folder)
    return [(d.message, d.help) for d in caught.value.diagnostics]


def test_a_file_brings_its_schemes_and_lets_and_those_of_the_files_it_uses(folder):
    model = load_model(folder)
    assert model.scheme.name == "mine"
    assert model.constants["gain"] == 1
    assert set(model.dynamics.states) == {"Y"}


def test_a_file_used_twice_is_read_once(folder):
    (folder / "main.ode").write_text(f'use "lib/../lib/more.ode"\n{MAIN}', encoding="utf-8")
    assert load_model(folder).constants["gain"] == 1


def test_a_mistake_in_a_used_file_is_shown_in_that_file(folder):
    (folder / "lib" / "more.ode").write_text("let half = = 2\nlet σ = tanh\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_model(folder)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span.source.name == str(folder / "lib" / "more.ode")


def test_names_of_a_file_that_cannot_be_read_are_not_reported_as_unknown(folder):
    (folder / "lib" / "more.ode").unlink()
    message = "more.ode: there is no such file"
    assert messages_and_help(folder) == [(message, f"{folder / 'lib'} has mine.ode")]


def test_a_folder_cannot_be_used(folder):
    (folder / "main.ode").write_text(MAIN.replace("lib/mine.ode", "lib"), encoding="utf-8")
    assert messages_and_help(folder)[0][0] == "lib: this is a folder, not a file"


def test_a_name_may_be_set_wherever_its_let_stands(folder):
    assert load(folder / "main.ode", {"half": 3}).model.constants["gain"] == 6


def test_a_used_file_of_another_version_is_refused(folder):
    (folder / "lib" / "more.ode").write_text("odenet 7\nwhatever", encoding="utf-8")
    assert messages_and_help(folder)[0][0] == "this odenet reads version 1 of the language"
