"""The graphs that are quantized: traced, folded, stepped, and what each dialect asks of them."""
