"""Reader of folders of still pictures."""
