"""Workflow 3: one clock, one grid, clips; and the gates that say whether that came out well."""
