"""Post-training quantization: calibration clips, quantizers by NNCF."""
