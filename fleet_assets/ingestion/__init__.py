"""Area: from a drive's upload to synchronised, catalogued signals (workflows 1 to 5)."""
