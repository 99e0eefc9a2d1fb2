"""A bundle put to the test on this machine: accuracy, latency in turns, memory, energy."""
