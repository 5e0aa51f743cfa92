"""The files of a run's folder: settings, metrics of each epoch, checkpoints."""
