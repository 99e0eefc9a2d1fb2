"""Procedural four-camera footage: a driver and the road, with every label carried by the cue that carries it."""
