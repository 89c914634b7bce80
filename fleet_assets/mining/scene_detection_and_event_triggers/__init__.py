"""Workflow 6: scenes of a drive, and the events that the fleet's triggers find in it."""
