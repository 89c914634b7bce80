"""Workflow 4: what is in every clip, where its bytes are, and how it is found."""
