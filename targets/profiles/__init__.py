"""Devices as data: one TOML file each, read strictly."""
