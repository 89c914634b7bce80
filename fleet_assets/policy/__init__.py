"""Policies: every number and rule as schema-checked YAML with a digest. Deciding with them belongs to the areas."""
