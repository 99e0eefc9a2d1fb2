"""Outside: the road, what drives on it, and the car's own way along it."""
