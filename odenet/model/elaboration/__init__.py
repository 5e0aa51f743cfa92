"""From syntax trees to typed formulas, schemes and argument values, resolving names in scopes."""
