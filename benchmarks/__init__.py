"""Benchmarks: every figure is a ratio against a peer or a physical limit in the same run. `make bench`."""
