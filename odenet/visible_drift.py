"""The error of rebuilt states above which the compiler, flows and training warn.

In the backward pass a flow rebuilds its states by inverse steps. Drift is the relative difference
between a rebuilt state and the state of the forward pass.
"""

VISIBLE_DRIFT = 1e-2  # gradients visibly differ from here on
