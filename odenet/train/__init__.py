"""Training: one loop, Lightning's, for every spec."""
