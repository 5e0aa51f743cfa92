"""Layers of torch that networks around flows need."""
