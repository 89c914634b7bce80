"""Finding recordings in folders: what is one drive, what is a copy, what is ignored and why."""
