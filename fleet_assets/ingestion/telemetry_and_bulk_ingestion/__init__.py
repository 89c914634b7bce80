"""Workflow 1: an upload in the landing zone becomes registered drives and content-addressed files."""
