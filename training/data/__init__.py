"""Clips from AIDE's layout: read, checked, sampled, augmented, cached, batched."""
