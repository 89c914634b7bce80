"""Telemetry batches: small always-on uploads, read once, freed of duplicates, kept by the hour of their messages."""
