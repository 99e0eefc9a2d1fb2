"""Tests mirror the rooms of the source; what several of them need lies here."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the checkout
