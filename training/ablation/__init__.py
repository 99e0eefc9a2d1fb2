"""Experiments that were planned before they were run: a plan, its footage, its arms, and what they show."""
