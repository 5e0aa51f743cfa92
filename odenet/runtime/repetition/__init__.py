"""What a right-hand side needs to be evaluated again exactly as the first time."""
