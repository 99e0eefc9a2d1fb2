"""This release. Apart from the package itself, so that what names its version imports nothing else."""

VERSION = "0.1.0"  # as in pyproject.toml
