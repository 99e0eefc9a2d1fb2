"""What a run is worth: metrics, curves, a page."""
