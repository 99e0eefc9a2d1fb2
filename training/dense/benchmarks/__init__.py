"""Benchmarks on disk: which pictures a split has, and what their files say."""
