"""Procedural four-camera footage of a driver and the road; every label is carried by its own cue."""
