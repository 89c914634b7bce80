"""Readers of recording formats behind one streaming protocol (`protocol.py`); one module per format."""
