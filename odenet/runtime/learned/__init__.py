"""Learned operators and constants of flows, with one value for each step."""
