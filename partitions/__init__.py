"""The only home of partitions definitions, keys and mappings."""
