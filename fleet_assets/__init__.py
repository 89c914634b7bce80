"""The machine-learning loop of a vehicle fleet as one Dagster asset graph."""
