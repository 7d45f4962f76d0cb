"""Names of files as people order them."""

from __future__ import annotations

import re
from pathlib import Path


def natural_key(path: str | Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``file_2`` before ``file_10``."""
    pieces = re.split(r"(\d+)", str(path))
    return [(1, int(p), "") if p.isdecimal() else (0, 0, p.casefold()) for p in pieces]
