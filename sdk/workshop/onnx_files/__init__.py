"""ONNX files as quantize and targets both read them: is a file valid, in which sizes, quantized in which spelling."""
