"""What stands in the way of running here, and what to do about it."""
