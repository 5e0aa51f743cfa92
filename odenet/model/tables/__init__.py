"""The tables of the language: activations, layers, parameter types, claims, losses, recipe keys.

A row holds all that the compiler needs to know of a thing, so that adding one is adding a row.
"""
