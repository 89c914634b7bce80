"""Policies of the fleet: YAML documents and, under `schemas/`, the JSON Schemas that they keep."""
