"""Tests, mirroring the modules; end-to-end ones drive real ticks."""
