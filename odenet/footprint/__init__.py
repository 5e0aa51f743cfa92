"""How much memory a training step needs: predicted without running it, and measured."""
