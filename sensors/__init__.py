"""What makes things run: conditions, the restatement sweep, and one file per outside event."""
