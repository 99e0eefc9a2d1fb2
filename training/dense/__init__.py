"""One camera, answered by maps and boxes: benchmarks, geometry of labels, kinds of tasks, the model on maps."""
