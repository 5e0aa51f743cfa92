"""What can be done with the network of a run after training: predict, sample, export, study."""
