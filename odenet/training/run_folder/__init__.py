"""The files in the folder of a run: `run.json`, metrics of each epoch, checkpoints."""
