"""What each runtime wants of an INT8 ONNX file, as rules that read any file. onnx and numpy alone."""
