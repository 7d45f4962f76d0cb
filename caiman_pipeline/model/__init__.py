"""Frozen, validated records that travel between stages, by noun; and the exception for foreseen failures."""
