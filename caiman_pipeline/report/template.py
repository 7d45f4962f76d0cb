"""Page templates (Jinja2), style sheets and scripts of this package; texts are escaped, HTML is marked as such."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def _environment() -> Environment:
    """Return the templates; a part that a template wants and is not given is an error."""
    found = Environment(
        loader=PackageLoader("caiman_pipeline.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return found


def asset(name: str) -> Markup:
    """Return the text of a style sheet or script of this package, to stand in a page as it is.

    Parameters
    ----------
    name : str
        Name of the file.

    Returns
    -------
    Markup
        Its text.
    """
    return Markup((files("caiman_pipeline.report") / "assets" / name).read_text(encoding="utf-8"))


def fill(name: str, **parts: Any) -> Markup:
    """Fill a template; texts are escaped, ``Markup`` is HTML already.

    Parameters
    ----------
    name : str
        Name of the template, without its ending.
    parts : keyword arguments
        What the template asks for.

    Returns
    -------
    Markup
        HTML.
    """
    return Markup(_environment().get_template(f"{name}.html").render(**parts))


def duration(seconds: float) -> str:
    """Return a duration for people, like ``2 h 5 min``, ``3 min 12 s`` or ``4.2 s``.

    Parameters
    ----------
    seconds : float
        A duration, s.

    Returns
    -------
    str
        In words.

    Examples
    --------
    >>> duration(4.2), duration(192), duration(7500)
    ('4.2 s', '3 min 12 s', '2 h 5 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
