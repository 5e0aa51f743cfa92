"""How much memory a training step takes: predicted without running it, and measured."""
