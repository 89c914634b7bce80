"""Video files with their frame times, and GoPro telemetry in them."""
