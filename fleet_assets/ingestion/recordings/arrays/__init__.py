"""Recordings kept as folders of NumPy arrays."""
