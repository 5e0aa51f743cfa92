"""A page that follows a file: a local server that builds it anew at each save.

The page asks for its version once in a while, and loads itself again when there is another. While
the file has errors they are the page, each with its frame; where the file is gone, that is.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import odenet
from odenet.diagnostics import Report, SpecError
from odenet.language import tree
from odenet.language.source_files import read
from odenet.language.specs import parse_spec, used_files
from odenet.report.page import as_html, error_html, page_of

HOST = "127.0.0.1"
PAUSE = 0.25  # seconds between two looks at the files
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Built:
    """A page and what it was built from.

    Args:
        version: differs from that of every other page, also of another server's.
        html: the page.
        files: the specification and what it uses.
        outcome: what there is to see, in a line.
    """

    version: str
    html: str
    files: tuple[Path, ...]
    outcome: str


class Watch:
    """The newest page of a file.

    Args:
        spec: the file.
        settings: values from outside, as for `odenet.load`.
    """

    def __init__(self, spec: Path, settings: Mapping[str, Any]):
        self._spec, self._settings = spec, settings
        self._script = (files("odenet.report") / "templates" / "watch.js").read_text("utf-8")
        self._stamp: Stamp | None = None
        self._missed = False
        self._count = 0
        self.built = Built("", "", (spec,), "")

    def refresh(self) -> bool:
        """Build the page anew if a file of it was saved since; whether one was."""
        stamp = _stamp(self.built.files)
        if stamp == self._stamp:
            return False
        if self._stamp and not self._missed and not self._spec.exists():
            self._missed = True  # editors put a new file in the place of the old one
            return False
        self._missed = False
        self._count += 1
        version = f"{os.getpid()}-{time.time_ns()}-{self._count}"
        script = self._script.replace("VERSION", json.dumps(version))
        used = _used(self._spec) or self.built.files
        self._stamp = _stamp(used)  # before it is read: what is saved meanwhile is another page
        try:
            program = odenet.load(self._spec, set=self._settings)
            html = as_html(page_of(program), script)
            outcome = program.certificate.summary
        except SpecError as error:
            html = error_html(self._spec.name, str(error), script)
            count = sum(found.severity == "error" for found in error.diagnostics)
            outcome = f"{count} error{'s' * (count != 1)}"
        self.built = Built(version, html, used, outcome)
        return True


def _stamp(paths: tuple[Path, ...]) -> Stamp:
    """When files were last written, and their sizes; of those that are there."""
    found: list[tuple[str, int, int]] = []
    for path in paths:
        try:
            there = os.stat(path)
        except OSError:
            continue
        found.append((str(path), there.st_mtime_ns, there.st_size))
    return tuple(found)


def _used(spec: Path) -> tuple[Path, ...]:
    """The file and those that it uses, there or not; none where that cannot be read off it."""
    report = Report()
    try:
        file = parse_spec(read(spec), report)
        used = used_files(file, report)
    except SpecError:
        return ()
    found = {spec: None}
    for one in (file, *used):
        folder = Path(one.span.source.name).parent
        found |= {
            Path(os.path.normpath(folder / use.path)): None for use in one.statements_of(tree.Use)
        }
    return tuple(found)


class _Handler(BaseHTTPRequestHandler):
    """Answers with the page and with its version, and with nothing else."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Give the page, or its version."""
        if not self._is_local():
            self._answer(
                HTTPStatus.FORBIDDEN, "text/plain", "this server answers this machine alone"
            )
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.server.watch.built.html)
        elif self.path == "/version":
            version = json.dumps(self.server.watch.built.version)
            self._answer(HTTPStatus.OK, "application/json", version)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is one page here: /")

    def _is_local(self) -> bool:
        """Whether the page was asked for by its address: another's name could point to this one."""
        host = self.headers.get("Host", "").partition(":")[0].lower()
        return host in (HOST, "localhost")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is for what was saved."""


class Server(ThreadingHTTPServer):
    """Serves the page of a `Watch` on the loopback address.

    Args:
        watch: has the page.
        port: 0 for one that is free.
    """

    daemon_threads = True

    def __init__(self, watch: Watch, port: int):
        self.watch = watch
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away before it has the whole page is not our concern."""


@contextmanager
def serving(watch: Watch, port: int) -> Iterator[str]:
    """Within, the page is served; gives its address.

    Raises:
        SpecError: the port cannot be had.
    """
    try:
        server = Server(watch, port)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        help_ = "name another with --port, or 0 for one that is free"
        raise SpecError.of("bad-option", f"port {port}: {why}", help=help_) from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
