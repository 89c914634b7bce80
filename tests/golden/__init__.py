"""Golden digests: every operator on one small drive. `make golden` renews them after a deliberate change."""
