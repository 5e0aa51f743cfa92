"""From where on the drift of rebuilt states is reported: the compiler, flows and training agree."""

VISIBLE_DRIFT = 1e-2  # a relative error of rebuilt states at which gradients visibly differ
