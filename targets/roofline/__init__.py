"""How fast a graph can be on a device, from its multiply-accumulates and bytes."""
