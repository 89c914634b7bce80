"""The audit of redaction: a second look at redacted media, and what it means for who may open them."""
