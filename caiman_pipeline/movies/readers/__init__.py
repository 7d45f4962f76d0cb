"""Lazy readers, one per format, behind one protocol."""
