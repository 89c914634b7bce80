"""ASAM MDF 4 recordings."""
