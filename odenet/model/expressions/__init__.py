"""Formulas as typed values: their nodes, what walks over them share, adjoints and numbers."""
