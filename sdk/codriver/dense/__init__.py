"""What one camera shows, by maps and boxes: from a picture to the dense graph, and from its outputs to results."""
