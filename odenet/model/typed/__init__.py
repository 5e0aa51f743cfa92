"""What a file says, resolved: the typed program and its scheme, as values and as text."""
