"""From a run to INT8 graphs: calibration, quantization, export. Leaves a quantized folder behind."""
