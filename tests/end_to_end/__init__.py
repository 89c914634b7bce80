"""Whole-system tests: real landing zone, real crank, real gates, and faults injected between them."""
