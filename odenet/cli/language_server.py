"""`odenet lsp`: the language server."""

from odenet.extras import require


def lsp() -> None:
    """Answer an editor about specifications, by the language server protocol.

    Editors start it themselves and speak to it on its standard input and output; docs/editors.md
    has their configuration.
    """
    require("editor", "odenet lsp")
    from odenet.editor.server import serve

    serve()
