"""The language server as an editor meets it: a process that is spoken to over its pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygls")

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "specs" / "digits.ode").read_text()


class Editor:
    """A client of the language server protocol: headers with a length, then JSON."""

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
        self.request_number = self.version = 0
        capabilities = {"textDocument": {"publishDiagnostics": {"versionSupport": True}}}
        self.server_description = self.request(
            "initialize", processId=None, rootUri=None, capabilities=capabilities
        )
        self.notify("initialized")

    def send(self, **message):
        """Writes a message to the server."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def receive(self):
        """Reads the next message of the server."""
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        return json.loads(self.process.stdout.read(length))

    def notify(self, method, **params):
        """Sends a message that the server does not answer."""
        self.send(method=method, params=params)

    def request(self, method, **params):
        """Sends a request; returns its result. Messages in between are dropped."""
        self.request_number += 1
        self.send(id=self.request_number, method=method, params=params)
        while (answer := self.receive()).get("id") != self.request_number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def set_text(self, text):
        """Opens or changes the file; returns its diagnostics."""
        self.version += 1
        if self.version == 1:
            document = {"uri": self.uri, "languageId": "ode", "version": 1, "text": text}
            self.notify("textDocument/didOpen", textDocument=document)
        else:
            document = {"uri": self.uri, "version": self.version}
            changes = [{"text": text}]
            self.notify("textDocument/didChange", textDocument=document, contentChanges=changes)
        return self.problems(self.uri, self.version)

    def problems(self, uri, version=1):
        """The next published diagnostics of a version of a file."""
        while True:
            message = self.receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                published = message["params"]
                if (published["uri"], published.get("version")) == (uri, version):
                    return published["diagnostics"]

    def request_at(self, method, text, piece, shift=0):
        """Sends a request for a position in a text.

        Args:
            method: a method of the protocol.
            text: the text of the file.
            piece: a piece of the text; its first occurrence gives the position.
            shift: characters from the beginning of the piece to the position.
        """
        before = text[: text.index(piece) + shift]
        line, column = before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2
        place = {"line": line, "character": column}
        return self.request(method, textDocument={"uri": self.uri}, position=place)


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    """An editor with a file in a folder whose name has to be escaped in a URI."""
    client = Editor(tmp_path_factory.mktemp("Größe & more"))
    with client.process:
        yield client
        client.request("shutdown")
        client.notify("exit")
        assert client.process.wait(30) == 0


@pytest.mark.slow
def test_errors_come_with_place_code_and_help_and_go_when_mended(editor):
    assert editor.server_description["serverInfo"]["name"] == "odenet"
    (problem,) = editor.set_text(SPEC.replace("verlet", "verlett"))
    line = SPEC.split("\n").index("discretise verlet(h = 1/10)")
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
    assert editor.set_text(SPEC) == []


@pytest.mark.slow
def test_places_are_counted_as_the_editor_counts(editor):
    text = SPEC.replace("let    σ = tanh", "let    σ = tanh # 𝔸").replace(
        "σ(K2 Y + b2)", "σ(K2 Y + 𝔟)"
    )
    problems = editor.set_text(text)
    assert problems[0]["range"]["start"]["line"] == text[: text.index("𝔟")].count("\n")
    width = problems[0]["range"]["end"]["character"] - problems[0]["range"]["start"]["character"]
    assert width == 2  # a letter beyond the first plane is two units of UTF-16


@pytest.mark.slow
@pytest.mark.parametrize("separator", ["\f", "\v", "\u2028", "\x85"])
def test_characters_that_only_python_takes_for_line_ends_do_not_count(editor, separator):
    text = f"# a{separator}b\n" + SPEC.replace("verlet", "verlett")
    (problem,) = editor.set_text(text)
    line = text.split("\n").index("discretise verlett(h = 1/10)")
    assert problem["range"]["start"] == {"line": line, "character": 11}
    definition = editor.request_at("textDocument/definition", text, "K1 Z")
    assert definition["range"]["start"]["character"] == len("param  ")


@pytest.mark.slow
def test_a_file_is_checked_again_when_one_that_it_uses_is_saved(editor, tmp_path):
    used_file, uri = tmp_path / "more.ode", (tmp_path / "two.ode").as_uri()
    used_file.write_text("let gain =\n")
    text = 'use "more.ode"\nstate Y\nY\' = gain Y\ndiscretise rk4(h = 0.1)\n'
    document = {"uri": uri, "languageId": "ode", "version": 1, "text": text}
    editor.notify("textDocument/didOpen", textDocument=document)
    (problem,) = editor.problems(uri)
    assert "more.ode:1:" in problem["message"]
    used_file.write_text("let gain = 2\n")
    editor.notify("textDocument/didSave", textDocument={"uri": used_file.as_uri()})
    assert editor.problems(uri) == []
    editor.notify("textDocument/didClose", textDocument={"uri": uri})


@pytest.mark.slow
def test_hover_definition_and_formatting(editor):
    text = SPEC.replace("state  Y, Z", "state    Y,Z")
    editor.set_text(text)
    hover = editor.request_at("textDocument/hover", text, "unit(")["contents"]["value"]
    assert "unit(N, C" in hover and "(32, 8, 8) → (64, 4, 4)" in hover
    hover = editor.request_at("textDocument/hover", text, "σ(K1")["contents"]["value"]
    assert "let    σ = tanh" in hover
    definition = editor.request_at("textDocument/definition", text, "K1 Z")
    assert definition["uri"] == editor.uri
    start = definition["range"]["start"]
    assert text.split("\n")[start["line"]][start["character"] :].startswith("K1, K2 : conv(3)")
    library_scheme = editor.request_at("textDocument/definition", text, "verlet", shift=2)
    assert library_scheme["uri"].endswith("odenet/schemes/verlet.ode")
    assert editor.request_at("textDocument/definition", text, "= tanh") is None
    options = {"tabSize": 4, "insertSpaces": True}
    (edit,) = editor.request(
        "textDocument/formatting", textDocument={"uri": editor.uri}, options=options
    )
    assert edit["newText"] == SPEC


@pytest.mark.slow
def test_requests_about_an_incomplete_file_are_answered(editor):
    text = SPEC[: SPEC.index("smooth")] + "optimizer = "
    assert editor.set_text(text)
    items = editor.request_at("textDocument/completion", text + "\0", "\0")
    assert [item["label"] for item in items] == ["sgd", "adam", "adamw"]
    assert editor.request_at("textDocument/hover", text, "K2 Y") is not None
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
        assert isinstance(editor.set_text(text), list)
        end = {"line": text.count("\n"), "character": len(text.rpartition("\n")[2])}
        for method in ("completion", "hover", "definition"):
            editor.request(f"textDocument/{method}", textDocument={"uri": editor.uri}, position=end)
        editor.request("textDocument/formatting", textDocument={"uri": editor.uri}, options={
            "tabSize": 4, "insertSpaces": True})  # fmt: skip
