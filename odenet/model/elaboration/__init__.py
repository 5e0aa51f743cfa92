"""What names mean: formulas, schemes and plain values from their syntax, in their scopes."""
