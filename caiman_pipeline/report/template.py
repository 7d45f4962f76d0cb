"""Page templates, style sheets and scripts, filled in and put together; standard library only."""

from __future__ import annotations

import json
from importlib.resources import files
from string import Template
from typing import Any


def asset(name: str) -> str:
    """Return the text of a page template, style sheet or script of this package."""
    return (files("caiman_pipeline.report") / "assets" / name).read_text(encoding="utf-8")


def fill(name: str, **parts: str) -> str:
    """Fill a page's template with its style sheet, its script and the given parts, which are HTML already."""
    return Template(asset(f"{name}.html")).substitute(style=asset(f"{name}.css"), script=asset(f"{name}.js"), **parts)


def embed_json(value: Any) -> str:
    """Return JSON that can stand inside a script element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def duration(seconds: float) -> str:
    """Return a duration for people, like ``2 h 5 min``, ``3 min 12 s`` or ``4.2 s``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
