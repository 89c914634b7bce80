"""A simulated fleet: seeded worlds, traffic and vehicles that record their drives, with ground truth beside them.

Usable by itself as a test bed (`fleet simulate --help`). The pipeline never imports it and never reads its truth.
"""
