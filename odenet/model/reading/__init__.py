"""From the syntax tree of a file to the typed program: one module for each kind of statement."""
