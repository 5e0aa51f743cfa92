"""What is trained: network, loss, metrics and optimizer as one Lightning module."""
