"""MCAP recordings."""
