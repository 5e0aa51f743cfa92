"""Runs, each a training of a spec: start, resume, evaluate, compare, repeat with other seeds."""
