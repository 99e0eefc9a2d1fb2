"""What training, quantize and targets share and a device never needs. Not in the wheel."""
