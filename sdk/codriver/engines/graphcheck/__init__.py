"""Look a graph over before a runtime reads it."""
