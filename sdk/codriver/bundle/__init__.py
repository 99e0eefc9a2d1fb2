"""A bundle: a checked folder, its manifest and signature, and the variant that is loaded from it."""
