"""What can be done with the network of a finished run."""
