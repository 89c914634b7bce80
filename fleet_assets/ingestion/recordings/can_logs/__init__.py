"""Logs of CAN frames: candump, Vector BLF and ASC."""
