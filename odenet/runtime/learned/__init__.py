"""Learned operators and constants of flows, which have a value for each step."""
