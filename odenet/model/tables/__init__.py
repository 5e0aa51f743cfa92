"""What the language knows, row by row: activations, layers, parameters, claims, the recipe."""
