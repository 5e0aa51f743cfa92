"""Support for text editors: a language server, and a TextMate grammar for colours."""
