"""Mining: what in the drives is worth a look. From silver to gold, by day and depot."""
