"""TensorRT: built on the device that runs it, kept in a store, run through CUDA."""
