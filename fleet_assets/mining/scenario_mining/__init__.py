"""Workflow 8: clips that somebody asks for, chosen so that they are few, different and worth a label."""
