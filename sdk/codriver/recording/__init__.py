"""Drives as MCAP: written within a bound, read, replayed to the bit."""
