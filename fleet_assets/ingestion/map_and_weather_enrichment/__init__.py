"""Workflow 5: drives matched to versioned road networks and joined with the weather of their time."""
