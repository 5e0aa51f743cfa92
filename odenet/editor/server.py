"""The language server: answers the requests of an editor about open files (LSP, by pygls)."""

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

# The kinds of `Proposal`, and the severities of `Diagnostic`, in the terms of LSP.
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
SEVERITIES = {"error": lsp.DiagnosticSeverity.Error, "warning": lsp.DiagnosticSeverity.Warning}


def serve() -> None:
    """Answer an editor on standard input and output until it closes them.

    Anything else that the process prints goes to standard error.
    """
    requests, responses = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    make_server().start_io(requests, responses)


def make_server() -> LanguageServer:
    """The server, with its handlers.

    The handlers of notifications are `did_open`, `did_change`, `did_save` and `did_close`, those of
    requests `answer_hover`, `answer_completion`, `answer_definition` and `answer_formatting`.
    """
    # Editors send whole texts: pygls counts lines in changes differently (form feed, U+2028).
    full_sync = lsp.TextDocumentSyncKind.Full
    server = LanguageServer("odenet", odenet.__version__, text_document_sync_kind=full_sync)
    compile_lock = asyncio.Lock()
    open_uris: set[str] = set()

    async def check(uri: str) -> None:
        """Compile a file once it has not changed for a while, and publish its diagnostics."""
        version = server.workspace.get_text_document(uri).version
        await asyncio.sleep(PAUSE)
        async with compile_lock:
            if uri not in open_uris:
                return
            if server.workspace.get_text_document(uri).version != version:
                return  # the later change has started a check of its own
            document = _document(server, uri)
            problems = await asyncio.to_thread(document.problems)
        to_client_units = _to_client_units(server, document.source)
        diagnostics = [_lsp_diagnostic(d, document.source, to_client_units) for d in problems]
        server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, diagnostics=diagnostics, version=version)
        )

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def did_open(params: lsp.DidOpenTextDocumentParams) -> None:
        open_uris.add(params.text_document.uri)
        await check(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def did_change(params: lsp.DidChangeTextDocumentParams) -> None:
        await check(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def did_save(params: lsp.DidSaveTextDocumentParams) -> None:
        """Check every open file again, since it may use the one that was saved."""
        await asyncio.gather(*map(check, open_uris))

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: lsp.DidCloseTextDocumentParams) -> None:
        open_uris.discard(params.text_document.uri)
        server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=params.text_document.uri, diagnostics=[])
        )

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def answer_hover(params: lsp.HoverParams) -> lsp.Hover | None:
        document, line, column = _position(server, params)
        text_and_word = await asyncio.to_thread(hover, document, line, column)
        if text_and_word is None:
            return None
        text, word = text_and_word
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, text)
        return lsp.Hover(content, _to_client_units(server, document.source)(_range(word)))

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["=", ">", ":"])
    )
    def answer_completion(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        proposals = completions(*_position(server, params))
        return [lsp.CompletionItem(label=p.text, kind=KINDS[p.kind]) for p in proposals]

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def answer_definition(params: lsp.DefinitionParams) -> lsp.Location | None:
        document, line, column = _position(server, params)
        word = document.word(line, column)
        definition = document.definition(word) if word is not None else None
        if definition is None:
            return None
        source = definition.span.source
        text_range = _to_client_units(server, source)(_range(definition.span))
        if source == document.source:
            return lsp.Location(params.text_document.uri, text_range)
        uri = from_fs_path(str(Path(source.name).resolve()))
        return lsp.Location(uri, text_range) if uri else None

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def answer_formatting(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        source = _document(server, params.text_document.uri).source
        try:
            text = format_source(source)
        except (SpecError, RecursionError):
            return []  # the diagnostics show the errors already
        whole_text = lsp.Range(lsp.Position(0, 0), lsp.Position(source.text.count("\n") + 1, 0))
        return [] if text == source.text else [lsp.TextEdit(whole_text, text)]

    return server


def _document(server: LanguageServer, uri: str) -> Document:
    """The open file of a URI, with line feeds as line ends."""
    text = server.workspace.get_text_document(uri).source
    return Document(to_fs_path(uri) or uri, text.replace("\r\n", "\n").replace("\r", "\n"))


def _position(server: LanguageServer, params: Any) -> tuple[Document, int, int]:
    """The document of a request, and its position as line and column, at most the end of a line."""
    document = _document(server, params.text_document.uri)
    lines, requested = document.source.text.split("\n"), params.position
    codec = server.workspace.position_codec
    line = max(0, min(requested.line, len(lines) - 1))
    width = codec.client_num_units(lines[line])
    column = width if requested.line > line else max(0, min(requested.character, width))
    position = codec.position_from_client_units(lines, lsp.Position(line, column))
    return document, position.line, position.character


def _to_client_units(server: LanguageServer, source: Source) -> Callable[[lsp.Range], lsp.Range]:
    """A function that converts a range in characters to the units in which the editor counts."""
    lines = source.text.split("\n")
    codec = server.workspace.position_codec
    return lambda text_range: codec.range_to_client_units(lines, text_range)


def _range(span: Span) -> lsp.Range:
    """A span as a range of lines and columns, in characters."""
    ends = (span.source.position(offset) for offset in (span.start, span.end))
    begin, end = (lsp.Position(line - 1, column - 1) for line, column in ends)
    return lsp.Range(begin, end)


def _lsp_diagnostic(
    diagnostic: Diagnostic, source: Source, to_client_units: Callable[[lsp.Range], lsp.Range]
) -> lsp.Diagnostic:
    """A diagnostic in the terms of LSP; one of another file, or without a span, is at line 1.

    Args:
        diagnostic: the diagnostic.
        source: the text of the open file.
        to_client_units: converts a range in characters to the editor's units.
    """
    help_ = f"help: {diagnostic.help}" if diagnostic.help else ""
    lines = [diagnostic.message, diagnostic.label, help_]
    span = diagnostic.span
    in_source = span is not None and span.source == source
    if not in_source and span is not None:
        lines[0] = f"{span.source.name}:{span.line}:{span.column}: {diagnostic.message}"
    first_line = lsp.Range(lsp.Position(0, 0), lsp.Position(0, len(source.line(1))))
    return lsp.Diagnostic(
        range=to_client_units(_range(span) if in_source and span is not None else first_line),
        message="\n".join(line for line in lines if line),
        severity=SEVERITIES[diagnostic.severity],
        code=diagnostic.code,
        source="odenet",
    )
