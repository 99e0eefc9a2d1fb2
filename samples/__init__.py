"""What an integrator copies. Each file runs as it stands."""
