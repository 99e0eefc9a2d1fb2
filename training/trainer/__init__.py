"""The loop that trains: processes, checkpoints, signals, the log of a run."""
