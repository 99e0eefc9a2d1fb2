"""Answers on the vehicle's buses: each bus in a thread of its own, so that none of them delays a step."""
