"""The formulas of the method once more, in NumPy and in float64, written from their sources and not from our code."""
