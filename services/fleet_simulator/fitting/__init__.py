"""Fitting the simulator's numbers to recordings of real vehicles, and comparing both afterwards."""
