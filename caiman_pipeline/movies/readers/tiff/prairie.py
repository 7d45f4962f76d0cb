"""The XML that Prairie View writes beside its images: one file says what holds for all of them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

# The settings of the acquisition and the first frames stand at the beginning; a long recording's file has many MB.
HEAD_BYTES = 2**18


def prairie_facts(image: Path) -> dict[str, str]:
    """Return what the XML beside an image says, {} without one: ``row_um``, ``column_um`` and ``seconds_per_frame``.

    Of stacks it is ``plane_um`` in place of the time, which their frames do not tell.

    Images are named like ``NAME_Cycle00001_Ch2_000001.ome.tif``, the XML is ``NAME.xml``.

    Parameters
    ----------
    image : path
        An image.

    Returns
    -------
    dict of str to str
        Numbers as the XML writes them, um and s.
    """
    stem = re.match(r"(.+?)_Cycle\d+", image.name)
    xml = image.with_name(f"{stem[1]}.xml") if stem else None
    return _facts(xml) if xml is not None and xml.is_file() else {}


@lru_cache(maxsize=64)
def _facts(xml: Path) -> dict[str, str]:
    with open(xml, "rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    if "<PVScan" not in head:
        return {}
    found = {"row_um": _microns(head, "Y"), "column_um": _microns(head, "X")}
    kind = re.search(r'<Sequence type="([^"]*)"', head)
    if kind and "ZSeries" in kind[1]:
        found["plane_um"] = _microns(head, "Z")
    elif kind and kind[1].startswith("TSeries"):
        found["seconds_per_frame"] = _frame_interval(head)
    return {name: value for name, value in found.items() if value}


def _microns(head: str, axis: str) -> str:
    """Return the size of a pixel, as versions from 5 on and those before write it."""
    shard = re.search(r'<PVStateValue key="micronsPerPixel">(.*?)</PVStateValue>', head, re.S)
    found = re.search(rf'index="{axis}Axis" value="([^"]+)"', shard[1]) if shard else None
    found = found or re.search(rf'key="micronsPerPixel_{axis}Axis"[^>]*value="([^"]+)"', head)
    return found[1] if found else ""


def _frame_interval(head: str) -> str:
    times = re.findall(r'<Frame relativeTime="(\d+\.?\d*(?:[eE][+-]?\d+)?)"', head)
    return f"{float(times[1]) - float(times[0]):.9g}" if len(times) > 1 else ""
