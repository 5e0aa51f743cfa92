"""Sweeps: a spec is trained with every combination of some settings."""
