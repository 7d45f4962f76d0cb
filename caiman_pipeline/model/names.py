"""Names of files as people order them."""

from __future__ import annotations

import re
from pathlib import Path

# Folders of an absolute path: one that a sentence starts with, up to its colon, may hold spaces; URLs stay.
LEADING_FOLDERS = re.compile(r"^(?:~|[A-Za-z]:)?[/\\](?:[^/\\:;]+[/\\])+(?=[^/\\:;]+:)")
INNER_FOLDERS = re.compile(r"""(?<![\w/\\.:~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:;,()'"`]+[/\\])+""")


def natural_key(path: str | Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``file_2`` before ``file_10``."""
    pieces = re.split(r"(\d+)", str(path))
    return [(1, int(p), "") if p.isdecimal() else (0, 0, p.casefold()) for p in pieces]


def without_folders(text: str) -> str:
    """Return a sentence without folders of this machine: of absolute paths in it, the names of the files are kept."""
    return INNER_FOLDERS.sub("", LEADING_FOLDERS.sub("", text))
