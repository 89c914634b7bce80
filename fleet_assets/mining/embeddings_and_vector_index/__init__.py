"""Workflow 7: clips as vectors, the index over them, and finding more like this."""
