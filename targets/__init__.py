"""From quantized graphs to a bundle for one device."""
