"""Torch modules for the layers around and within flows."""
