"""From the syntax tree to the typed program: kinds, scopes, widths, and the language's tables.

A room for each question, in the order in which they build on each other: `expressions`, `tables`,
`typed`, `elaboration`, `fitting`, `reading`. None imports from a later one.
"""
