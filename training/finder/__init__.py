"""The finder: where the driver is, from the in-car frame alone."""
