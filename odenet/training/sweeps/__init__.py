"""One spec trained at every point of a grid of settings."""
