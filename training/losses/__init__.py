"""AFD-Loss (our instantiation): weighting of tasks, and decoupling of what they use."""
