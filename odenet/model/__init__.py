"""From the syntax tree to the typed program: names resolved, formulas typed, widths inferred.

The packages, of which none imports from a later one: `expressions` (typed formulas), `tables` (what
the language has), `typed` (the typed program), `elaboration` (from syntax to typed formulas and
schemes), `fitting` (whether equations, scheme and net match), `reading` (whole files).
"""
