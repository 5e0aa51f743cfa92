"""The error of rebuilt states above which the compiler, flows and training warn.

In the backward pass a flow rebuilds its states by inverse steps. Drift is the difference between
such a state and that of the forward pass, relative to the latter.
"""

VISIBLE_DRIFT = 1e-2  # gradients visibly differ from here on
