"""Samples for training: from files, published sets or a program, to augmented batches."""
