"""From quantized graphs to a bundle: FP16, tasks left out, the gate, the model card."""
