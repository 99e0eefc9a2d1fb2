"""Run graphs: one module per runtime."""
