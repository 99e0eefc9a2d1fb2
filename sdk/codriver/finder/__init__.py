"""Where the driver is, from the in-car frame alone: peaks, certainty, smoothing in time, presence."""
