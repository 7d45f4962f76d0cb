"""Predicted memory of each stage."""

from __future__ import annotations


def predict_memory_mb(stage: str, movie_info: str) -> int:
    """Return the memory to ask for, MB."""
    return 2000
