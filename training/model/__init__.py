"""UV-M3TL: encoders, temporal part, DB-SCME, heads."""
