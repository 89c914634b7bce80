"""Text tables: CSV, GPX, JSON point lists."""
