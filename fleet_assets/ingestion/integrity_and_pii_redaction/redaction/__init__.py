"""Redaction: faces and licence plates found in recorded pictures, covered for good, reported and signed."""
