"""What every record checks of itself."""

from __future__ import annotations


def require(condition: bool, message: str) -> None:
    """Raise a ValueError with ``message`` unless ``condition`` holds: the code, not the user, made a wrong record."""
    if not condition:
        raise ValueError(message)
