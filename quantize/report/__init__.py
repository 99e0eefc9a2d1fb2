"""The pages of what INT8 is."""
