"""Drafting a vehicle spec from a recording: what its channels carry, what that may mean, and what is unsure of it."""
