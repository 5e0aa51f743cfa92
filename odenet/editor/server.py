"""The language server: what an editor asks, put to the document it asks about."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

import odenet
from odenet.diagnostics import Diagnostic, Source, Span, SpecError
from odenet.editor.completion import completions
from odenet.editor.document import Document
from odenet.editor.hover import hover
from odenet.language.format import format_source

PAUSE = 0.3  # seconds without a change, after which a file is compiled

KINDS = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "name": lsp.CompletionItemKind.Variable,
    "scheme": lsp.CompletionItemKind.Class,
    "layer": lsp.CompletionItemKind.Function,
    "activation": lsp.CompletionItemKind.Function,
    "claim": lsp.CompletionItemKind.Property,
    "type": lsp.CompletionItemKind.TypeParameter,
    "key": lsp.CompletionItemKind.Field,
    "value": lsp.CompletionItemKind.Value,
}
SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}


def serve() -> None:
    """Answer an editor on the standard input and output until it closes them.

    It has them to itself: whatever else is printed goes to the standard error.
    """
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    make_server().start_io(asked, answers)


def make_server() -> LanguageServer:
    """A server with all that it answers."""
    # Whole texts: to pygls a line also ends at a form feed or U+2028, and to editors it does not.
    whole = lsp.TextDocumentSyncKind.Full
    server = LanguageServer("odenet", odenet.__version__, text_document_sync_kind=whole)
    one_at_a_time = asyncio.Lock()
    open_now: set[str] = set()

    async def check(uri: str) -> None:
        """Compile a file once it has not changed for a while, and publish what is wrong."""
        version = server.workspace.get_text_document(uri).version
        await asyncio.sleep(PAUSE)
        async with one_at_a_time:
            if uri not in open_now:
                return
            opened = server.workspace.get_text_document(uri)
            if opened.version != version:
                return  # a later change asks again
            document = _document(server, uri)
            found = await asyncio.to_thread(document.problems)
        units = _units(server, document.source)
        shown = [_problem(d, document.source, units) for d in found]
        server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, diagnostics=shown, version=version)
        )

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        open_now.add(params.text_document.uri)
        await check(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        await check(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        """Look again at each open file, since it may use the one that was saved."""
        await asyncio.gather(*map(check, open_now))

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        open_now.discard(params.text_document.uri)
        server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=params.text_document.uri, diagnostics=[])
        )

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        document, line, column = _place(server, params)
        found = await asyncio.to_thread(hover, document, line, column)
        if found is None:
            return None
        text, word = found
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, text)
        return lsp.Hover(content, _units(server, document.source)(_range(word)))

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["=", ">", ":"])
    )
    def completed(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        found = completions(*_place(server, params))
        return [lsp.CompletionItem(label=p.text, kind=KINDS[p.kind]) for p in found]

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def defined(params: lsp.DefinitionParams) -> lsp.Location | None:
        document, line, column = _place(server, params)
        word = document.word(line, column)
        found = document.definition(word) if word is not None else None
        if found is None:
            return None
        source = found.span.source
        place = _units(server, source)(_range(found.span))
        if source == document.source:
            return lsp.Location(params.text_document.uri, place)
        path = from_fs_path(str(Path(source.name).resolve()))
        return lsp.Location(path, place) if path else None

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        source = _document(server, params.text_document.uri).source
        try:
            text = format_source(source)
        except (SpecError, RecursionError):
            return []  # what is wrong is shown already
        lines = source.text.count("\n") + 1
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(lines, 0))
        return [] if text == source.text else [lsp.TextEdit(whole, text)]

    return server


def _document(server: LanguageServer, uri: str) -> Document:
    text = server.workspace.get_text_document(uri).source
    name = to_fs_path(uri) or uri
    return Document(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _place(server: LanguageServer, params: Any) -> tuple[Document, int, int]:
    """The document that is asked about, and where, in characters; at most at the end of a line."""
    document = _document(server, params.text_document.uri)
    lines, asked = document.source.text.split("\n"), params.position
    codec = server.workspace.position_codec
    line = max(0, min(asked.line, len(lines) - 1))
    width = codec.client_num_units(lines[line])
    column = width if asked.line > line else max(0, min(asked.character, width))
    place = codec.position_from_client_units(lines, lsp.Position(line, column))
    return document, place.line, place.character


def _units(server: LanguageServer, source: Source) -> Callable[[lsp.Range], lsp.Range]:
    """Ranges of a text in the units that the editor counts in."""
    lines = source.text.split("\n")
    return lambda found: server.workspace.position_codec.range_to_client_units(lines, found)


def _range(span: Span) -> lsp.Range:
    ends = (span.source.position(offset) for offset in (span.start, span.end))
    begin, end = (lsp.Position(line - 1, column - 1) for line, column in ends)
    return lsp.Range(begin, end)


def _problem(
    found: Diagnostic, source: Source, units: Callable[[lsp.Range], lsp.Range]
) -> lsp.Diagnostic:
    """A finding as an editor shows it; those about other files and the whole at the first line."""
    words = [found.message, found.label, f"help: {found.help}" if found.help else ""]
    span = found.span
    here = span is not None and span.source == source
    if not here and span is not None:
        words[0] = f"{span.source.name}:{span.line}:{span.column}: {found.message}"
    first = lsp.Range(lsp.Position(0, 0), lsp.Position(0, len(source.line(1))))
    return lsp.Diagnostic(
        range=units(_range(span) if here and span is not None else first),
        message="\n".join(word for word in words if word),
        severity=SEVERITIES[found.severity],
        code=found.code,
        source="odenet",
    )
