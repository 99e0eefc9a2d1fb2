"""What each quantizer costs each task, and which ranges and layers are worth more bits."""
