"""Encode what is new, remember it, fuse what is remembered."""
