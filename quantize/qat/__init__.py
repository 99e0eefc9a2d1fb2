"""Quantization-aware training with AFD-Loss active."""
