"""What a runtime makes of a graph: each layer that it executes, in which precision, how long it takes."""
