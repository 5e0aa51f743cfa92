"""Formulas as trees of typed nodes, with the traversals, adjoints and values computed from them."""
