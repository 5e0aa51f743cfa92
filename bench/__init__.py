"""odenet beside plain autograd, checkpointing and the released reversible libraries.

`odenet bench` runs it from a checkout; see `bench.run`.
"""
