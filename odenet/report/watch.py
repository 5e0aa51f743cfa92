"""`odenet watch`: a local server that rebuilds the page of a specification at each save.

The page asks for its version regularly, and reloads itself when there is a new one. If the file has
errors or is missing, the page shows the messages instead.
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
from odenet.counted import counted
from odenet.diagnostics import Report, SpecError
from odenet.language import specs, tree
from odenet.language.source_files import read
from odenet.report.page import build_page, error_html, page_html

HOST = "127.0.0.1"
POLL_INTERVAL = 0.25  # seconds between two checks of the files
FileStates = tuple[tuple[str, int, int], ...]  # path, time of modification, size


@dataclass(frozen=True)
class BuiltPage:
    """A page and what it was built from.

    Args:
        version: unique, also among the pages of other servers.
        html: the page.
        files: the specification and the files that it uses.
        summary: what the page shows, in a line: the verdict or the number of errors.
    """

    version: str
    html: str
    files: tuple[Path, ...]
    summary: str


class WatchedSpec:
    """A specification and the page that was last built of it.

    Args:
        spec: the path of the specification.
        settings: as `odenet.load` takes them.

    Attributes:
        page: the newest page.
    """

    def __init__(self, spec: Path, settings: Mapping[str, Any]):
        self._spec, self._settings = spec, settings
        self._script = (files("odenet.report") / "templates" / "watch.js").read_text("utf-8")
        self._file_states: FileStates | None = None
        self._was_missing = False
        self._build_count = 0
        self.page = BuiltPage("", "", (spec,), "")

    def refresh(self) -> bool:
        """Rebuild the page if one of its files has changed; returns whether it was rebuilt."""
        if _file_states(self.page.files) == self._file_states:
            return False
        if self._file_states and not self._was_missing and not self._spec.exists():
            self._was_missing = True  # editors replace files: it may be back at the next call
            return False
        self._was_missing = False
        self._build_count += 1
        version = f"{os.getpid()}-{time.time_ns()}-{self._build_count}"
        script = self._script.replace("VERSION", json.dumps(version))
        used_files = _used_files(self._spec) or self.page.files
        # Before the files are read, so that no later save is missed.
        self._file_states = _file_states(used_files)
        try:
            program = odenet.load(self._spec, set=self._settings)
            html = page_html(build_page(program), script)
            summary = program.certificate.summary
        except SpecError as error:
            html = error_html(self._spec.name, str(error), script)
            count = sum(diagnostic.severity == "error" for diagnostic in error.diagnostics)
            summary = counted(count, "error")
        self.page = BuiltPage(version, html, used_files, summary)
        return True


def _file_states(paths: tuple[Path, ...]) -> FileStates:
    """The path, time and size of each existing file; a save changes them."""
    states: list[tuple[str, int, int]] = []
    for path in paths:
        try:
            stat = os.stat(path)
        except OSError:
            continue
        states.append((str(path), stat.st_mtime_ns, stat.st_size))
    return tuple(states)


def _used_files(spec: Path) -> tuple[Path, ...]:
    """A specification and all files that it uses, existing or not; empty if it cannot be parsed."""
    report = Report()
    try:
        file = specs.parse_spec(read(spec), report)
        used_trees = specs.used_files(file, report)
    except SpecError:
        return ()
    paths = {spec: None}
    for parsed in (file, *used_trees):
        folder = Path(parsed.span.source.name).parent
        uses = parsed.statements_of(tree.Use)
        paths |= {Path(os.path.normpath(folder / use.path)): None for use in uses}
    return tuple(paths)


class _Handler(BaseHTTPRequestHandler):
    """Answers requests for the page and for its version, and no others."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the page, its version, or an error."""
        if not self._is_local():
            refusal = "this server answers this machine alone"
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", refusal)
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.server.watched.page.html)
        elif self.path == "/version":
            version = json.dumps(self.server.watched.page.version)
            self._answer(HTTPStatus.OK, "application/json", version)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is one page here: /")

    def _is_local(self) -> bool:
        """Whether the Host header names this machine, which prevents DNS rebinding."""
        return self.headers.get("Host", "").partition(":")[0].lower() in (HOST, "localhost")

    def _answer(self, status: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: the terminal shows the saves."""


class Server(ThreadingHTTPServer):
    """Serves the page of a `WatchedSpec` on the loopback address.

    Args:
        watched: provides the page.
        port: the port to listen on; 0 takes any free one.
    """

    daemon_threads = True

    def __init__(self, watched: WatchedSpec, port: int):
        self.watched = watched
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that disconnect before they have received the whole page."""


@contextmanager
def serve(watched: WatchedSpec, port: int) -> Iterator[str]:
    """A context in which the page is served; gives its address.

    Raises:
        SpecError: if the port is not available.
    """
    try:
        server = Server(watched, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        help_ = "name another with --port, or 0 for one that is free"
        raise SpecError.of("bad-option", f"port {port}: {reason}", help=help_) from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
