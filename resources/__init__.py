"""Outside systems: one file each, behind one protocol with one contract test. `profiles.py` picks them."""
