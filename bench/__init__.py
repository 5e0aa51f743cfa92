"""The benchmark: odenet beside plain autograd, checkpointing and other reversible libraries.

`odenet bench` runs it from a clone of the repository; see `bench.run`.
"""
