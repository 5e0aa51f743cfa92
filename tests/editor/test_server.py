"""The server as an editor meets it: a process, spoken to over its pipes by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygls")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "specs" / "digits.ode").read_text()


class Editor:
    """Speaks the protocol: headers with a length, then JSON."""

    def __init__(self, folder):
        self.uri = (folder / "one.ode").as_uri()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "odenet", "lsp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.number = self.version = 0
        capabilities = {"textDocument": {"publishDiagnostics": {"versionSupport": True}}}
        self.server = self.ask(
            "initialize", processId=None, rootUri=None, capabilities=capabilities
        )
        self.tell("initialized")

    def send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        return json.loads(self.process.stdout.read(length))

    def tell(self, method, **params):
        self.send(method=method, params=params)

    def ask(self, method, **params):
        self.number += 1
        self.send(id=self.number, method=method, params=params)
        while (answer := self.receive()).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def write(self, text):
        """Open or change the file; what is then wrong with it."""
        self.version += 1
        if self.version == 1:
            document = {"uri": self.uri, "languageId": "ode", "version": 1, "text": text}
            self.tell("textDocument/didOpen", textDocument=document)
        else:
            document = {"uri": self.uri, "version": self.version}
            changes = [{"text": text}]
            self.tell("textDocument/didChange", textDocument=document, contentChanges=changes)
        return self.problems(self.uri, self.version)

    def problems(self, uri, version=1):
        """What is next said to be wrong with a version of a file."""
        while True:
            said = self.receive()
            if said.get("method") == "textDocument/publishDiagnostics":
                found = said["params"]
                if (found["uri"], found.get("version")) == (uri, version):
                    return found["diagnostics"]

    def at(self, method, text, piece, shift=0):
        """Ask about the first place of a piece of the text."""
        before = text[: text.index(piece) + shift]
        line, column = before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2
        place = {"line": line, "character": column}
        return self.ask(method, textDocument={"uri": self.uri}, position=place)


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    found = Editor(tmp_path_factory.mktemp("Größe & more"))
    with found.process:
        yield found
        found.ask("shutdown")
        found.tell("exit")
        assert found.process.wait(30) == 0


@pytest.mark.slow
def test_errors_come_with_place_code_and_help_and_go_when_mended(editor):
    assert editor.server["serverInfo"]["name"] == "odenet"
    (problem,) = editor.write(TEXT.replace("verlet", "verlett"))
    line = TEXT.split("\n").index("discretise verlet(h = 1/10)")
    assert problem["range"] == {
        "start": {"line": line, "character": 11},
        "end": {"line": line, "character": 18},
    }
    assert (problem["code"], problem["severity"], problem["source"]) == (
        "unknown-scheme",
        1,
        "odenet",
    )
    assert "unknown scheme `verlett`" in problem["message"] and "help: " in problem["message"]
    assert editor.write(TEXT) == []


@pytest.mark.slow
def test_places_are_counted_as_the_editor_counts(editor):
    text = TEXT.replace("let    σ = tanh", "let    σ = tanh # 𝔸").replace(
        "σ(K2 Y + b2)", "σ(K2 Y + 𝔟)"
    )
    problems = editor.write(text)
    assert problems[0]["range"]["start"]["line"] == text[: text.index("𝔟")].count("\n")
    width = problems[0]["range"]["end"]["character"] - problems[0]["range"]["start"]["character"]
    assert width == 2  # a letter beyond the first plane is two units of UTF-16


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["\f", "\v", "\u2028", "\x85"])
def test_lines_end_where_they_do_in_an_editor(editor, sign):
    text = f"# a{sign}b\n" + TEXT.replace("verlet", "verlett")
    (problem,) = editor.write(text)
    line = text.split("\n").index("discretise verlett(h = 1/10)")
    assert problem["range"]["start"] == {"line": line, "character": 11}
    assert editor.at("textDocument/definition", text, "K1 Z")["range"]["start"]["character"] == 7


@pytest.mark.slow
def test_a_file_is_looked_at_again_when_one_that_it_uses_is_saved(editor, tmp_path):
    other, uri = tmp_path / "more.ode", (tmp_path / "two.ode").as_uri()
    other.write_text("let gain =\n")
    text = 'use "more.ode"\nstate Y\nY\' = gain Y\ndiscretise rk4(h = 0.1)\n'
    document = {"uri": uri, "languageId": "ode", "version": 1, "text": text}
    editor.tell("textDocument/didOpen", textDocument=document)
    (problem,) = editor.problems(uri)
    assert "more.ode:1:" in problem["message"]
    other.write_text("let gain = 2\n")
    editor.tell("textDocument/didSave", textDocument={"uri": other.as_uri()})
    assert editor.problems(uri) == []
    editor.tell("textDocument/didClose", textDocument={"uri": uri})


@pytest.mark.slow
def test_hover_definition_and_formatting(editor):
    text = TEXT.replace("state  Y, Z", "state    Y,Z")
    editor.write(text)
    shown = editor.at("textDocument/hover", text, "unit(")["contents"]["value"]
    assert "unit(N, C" in shown and "(32, 8, 8) → (64, 4, 4)" in shown
    shown = editor.at("textDocument/hover", text, "σ(K1")["contents"]["value"]
    assert "let    σ = tanh" in shown
    place = editor.at("textDocument/definition", text, "K1 Z")
    assert place["uri"] == editor.uri
    begin = place["range"]["start"]
    assert text.split("\n")[begin["line"]][begin["character"] :].startswith("K1, K2 : conv(3)")
    library = editor.at("textDocument/definition", text, "verlet", 2)
    assert library["uri"].endswith("odenet/schemes/verlet.ode")
    assert editor.at("textDocument/definition", text, "= tanh") is None
    options = {"tabSize": 4, "insertSpaces": True}
    (edit,) = editor.ask(
        "textDocument/formatting", textDocument={"uri": editor.uri}, options=options
    )
    assert edit["newText"] == TEXT


@pytest.mark.slow
def test_a_half_written_file_is_answered_at_every_place(editor):
    text = TEXT[: TEXT.index("smooth")] + "optimizer = "
    assert editor.write(text)
    found = editor.at("textDocument/completion", text + "\0", "\0")
    assert [item["label"] for item in found] == ["sgd", "adam", "adamw"]
    assert editor.at("textDocument/hover", text, "K2 Y") is not None
    for text in (
        "",
        "st",
        "state Y\nY' = ",
        "scheme a {",
        "\0",
        "((((",
        '"',
        "net = input(",
        "# x",
    ):
        assert isinstance(editor.write(text), list)
        last = {"line": text.count("\n"), "character": len(text.rpartition("\n")[2])}
        for method in ("completion", "hover", "definition"):
            editor.ask(f"textDocument/{method}", textDocument={"uri": editor.uri}, position=last)
        editor.ask("textDocument/formatting", textDocument={"uri": editor.uri}, options={
            "tabSize": 4, "insertSpaces": True})  # fmt: skip
