"""What becomes of a picture before the network: checked, paired in time, looked at, resized, counted."""
