"""Workflow 2: what is wrong with a recording, and which drives are held back for it."""
