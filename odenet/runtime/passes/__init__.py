"""The passes over the steps of a flow, forward and backward, as autograd functions."""
