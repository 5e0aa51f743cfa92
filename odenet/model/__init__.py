"""From the syntax tree to the typed program: kinds, scopes, widths, and the language's tables."""
