"""Who watches a run: an event log of JSON lines, Prometheus."""
