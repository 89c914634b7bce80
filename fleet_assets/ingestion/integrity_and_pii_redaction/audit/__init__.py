"""The audit of redaction: an independent second look at redacted media, and what it means for who may open them."""
