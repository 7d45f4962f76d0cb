"""What ScanImage says of its images: channels, planes, frames in each plane, images of the drive's way back.

Versions before 2015 write ``state.`` or ``scanimage.SI4.`` lines into each page's description, 2015 ``scanimage.SI.``,
and later ones ``SI.`` lines into the Software tag and before the first page. Images are written in the order of
acquisition: the channels of a frame, the frames of a plane, the planes of a volume, those of the way back, the volumes.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path

from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.says import Says
from caiman_pipeline.movies.readers.tiff.pages import DESCRIPTION, SOFTWARE, PageTable

MAGIC = 0x07030301
# How descriptions of other software begin.
OTHERS = ("<", "{", "ImageJ=")
Header = dict[str, str]


def scanimage_header(table: PageTable) -> Header:
    """Return what ScanImage states in a file, by names without the version's prefix; empty: not ScanImage's.

    Parameters
    ----------
    table : PageTable
        Pages of a file.

    Returns
    -------
    dict of str to str
        Entries as they are written, by name.
    """
    software = table.text(SOFTWARE)
    text = software if software.startswith("SI.") else _binary_header(table.path) if table.big else ""
    if not text and table.text(DESCRIPTION, 0, 8).startswith(OTHERS):
        # The whole OME-XML of a set of files may be long, and stand in each of them.
        return {}
    text = text or table.text(DESCRIPTION)
    if text.startswith("state."):
        return dict(re.findall(r"(state\.[\w.]+)=([^\r\n]*?)(?=state\.|[\r\n]|$)", text))
    found = re.findall(r"^(?:scanimage\.)?SI\d?\.([\w.]+) = (.*?)\r?$", text, re.M)
    return dict(found)


def _binary_header(path: Path) -> str:
    """Return the header that stands before the first page of newer files."""
    with path.open("rb") as file:
        head = file.read(32)
        if len(head) < 32 or struct.unpack("<I", head[16:20])[0] != MAGIC:
            return ""
        return file.read(struct.unpack("<I", head[24:28])[0]).split(b"\0")[0].decode("utf-8", "replace")


def number(header: Mapping[str, str], *names: str) -> float | None:
    """Return the first of several entries that is there and a number, Inf included.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.
    names : str
        Names of entries, the first first.

    Returns
    -------
    float or None
        Its number; None where there is none.

    Examples
    --------
    >>> number({"framesPerSlice": "Inf", "fps": "x"}, "fps", "framesPerSlice")
    inf
    """
    for name in names:
        try:
            return float(header[name])
        except (KeyError, ValueError):
            continue
    return None


def switch(header: Mapping[str, str], *names: str) -> bool | None:
    """Return the first of several entries that is there and on or off.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.
    names : str
        Names of entries, the first first.

    Returns
    -------
    bool or None
        Whether it is on; None where there is none.
    """
    found = [header[name].strip() for name in names if name in header]
    return found[0] in ("true", "1", "True") if found else None


def _whole(header: Mapping[str, str], *names: str) -> int:
    value = number(header, *names)
    return int(value) if value is not None and math.isfinite(value) and value >= 1 else 0


def saved_channels(header: Header) -> tuple[Channel, ...]:
    """Return the channels saved, by ScanImage's own numbers, with the names that a user gave them.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.

    Returns
    -------
    tuple of Channel
        At least one.
    """
    text = header.get("hChannels.channelSave", header.get("channelsSave"))
    if text is None:
        pairs = ((n, v) for k, v in header.items() for n in re.findall(r"^state\.acq\.savingChannel(\d+)$", k))
        numbers = sorted(int(n) for n, v in pairs if v.strip() == "1")
    else:
        numbers = [int(float(n)) for n in re.findall(r"[\d.]+", text)]
    names = re.findall(r"'([^']*)'", header.get("hChannels.channelName", ""))
    return tuple(Channel(n, _own_name(names, n)) for n in dict.fromkeys(numbers)) or (Channel(1),)


def _own_name(names: list[str], n: int) -> str:
    name = names[n - 1].strip() if n <= len(names) else ""
    return "" if name.casefold() == f"channel {n}" else name


def is_fast_stack(header: Mapping[str, str]) -> bool:
    """Tell whether volumes are taken one after the other, as movies of them are.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.

    Returns
    -------
    bool
        False where a motor moves slowly from plane to plane.
    """
    enabled, fast = switch(header, "hStackManager.enable"), switch(header, "hFastZ.enable", "fastZEnable")
    by_motor = "slow" in header.get("hStackManager.stackMode", "")
    return bool((fast or enabled) and not by_motor)


def n_slices(header: Mapping[str, str]) -> int:
    """Return the planes of a stack, 1 where none was taken.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.

    Returns
    -------
    int
        Planes.
    """
    enabled, fast = switch(header, "hStackManager.enable"), switch(header, "hFastZ.enable", "fastZEnable")
    if enabled is False and not fast:
        return 1
    names = ("hStackManager.actualNumSlices", "hStackManager.numSlices", "stackNumSlices", "state.acq.numberOfZSlices")
    stated = _whole(header, *names)
    return stated if stated > 1 else max(_listed_planes(header), 1)


def _listed_planes(header: Mapping[str, str]) -> int:
    """Return the planes of a volume whose depths a user listed, 0 where those are not what a volume was written of."""
    listed = len(re.findall(r"[-+.\deE]+", header.get("hFastZ.userZs", header.get("hStackManager.arbitraryZs", ""))))
    return listed if is_fast_stack(header) and _written(header) in (listed, listed + _discarded(header)) else 0


def volumes_unclear(header: Mapping[str, str]) -> bool:
    """Tell whether volumes are said to hold several frames, but not of which planes.

    Parameters
    ----------
    header : dict of str to str
        What ``scanimage_header`` returns.

    Returns
    -------
    bool
        Whether the user must state the axes.
    """
    frames = _frames_per_slice(header)
    alone = (0, 1, frames, frames + _discarded(header))
    return n_slices(header) == 1 and is_fast_stack(header) and _written(header) not in alone


def _written(header: Mapping[str, str]) -> int:
    """Return the frames written in each volume, those of the way back included, 0 if it is not said."""
    return _whole(header, "hStackManager.numFramesPerVolumeWithFlyback", "hFastZ.numFramesPerVolume")


def _discarded(header: Mapping[str, str]) -> int:
    """Return how many frames are taken on the way back."""
    return _whole(header, "hFastZ.numDiscardFlybackFrames", "fastZNumDiscardFrames")


def _volume(header: Header, slices: int) -> tuple[int, int, str]:
    """Return the frames of each plane in a volume, how many are written on the way back, and what is unclear."""
    back = _discarded(header)
    discards = switch(header, "hFastZ.discardFlybackFrames", "fastZDiscardFlybackFrames")
    shown = _whole(header, "hStackManager.numFramesPerVolume")
    written = _written(header)
    if shown >= slices and written >= shown and shown % slices == 0:
        return shown // slices, written - shown, ""
    if written < slices:
        return 1, back if discards is not False else 0, ""
    repeats = _frames_per_slice(header)
    for frames in (1, int(repeats) if math.isfinite(repeats) else 1):
        if written - slices * frames in (back, 0):
            return frames, written - slices * frames, ""
    return 1, 0, _contradiction(slices, back, written)


def _contradiction(slices: int, back: int, written: int) -> str:
    return (
        f"ScanImage's header states {slices} slices and {back} flyback frames, but {written} frames per volume. State "
        f"how many images a volume has in the sheet's `axes` column, like TZ{written}YX (with two channels "
        f"TZ{written}C2YX; TC1YX if there are no volumes), and which are planes in the `planes` column, like "
        f"1-{max(slices, written - back)}."
    )


def _frames_per_slice(header: Mapping[str, str]) -> float:
    """Return the frames written for each plane, infinite where a user stops the acquisition."""
    frames = number(header, "hStackManager.framesPerSlice", "acqNumFrames", "state.acq.numberOfFrames")
    average = number(header, "hScan2D.logAverageFactor", "acqNumAveragedFrames") or 1.0
    if switch(header, "state.acq.averaging"):
        average = number(header, "state.acq.numAvgFramesSave", "state.acq.numberOfFrames") or 1.0
    if frames is None or not math.isfinite(frames):
        return math.inf
    return max(frames // max(average, 1.0), 1.0)


def scanimage_says(table: PageTable, header: Header) -> Says:
    """Return how a ScanImage file's images follow one another.

    Parameters
    ----------
    table : PageTable
        Pages of a file.
    header : dict of str to str
        What ``scanimage_header`` returns.

    Returns
    -------
    Says
        Axes, channels and images that are announced; why the axes must be stated, where they must.
    """
    channels, slices, frames = saved_channels(header), n_slices(header), _frames_per_slice(header)
    back, unclear = 0, ""
    if slices > 1 and is_fast_stack(header):
        frames, back, unclear = _volume(header, slices)
    elif volumes_unclear(header):
        unclear = _contradiction(slices, _discarded(header), _written(header))
    elif slices > 1 and not math.isfinite(frames):
        unclear = (
            f"ScanImage's header states {slices} slices and no number of frames in each. State how many images a slice "
            "has in the sheet's `axes` column, like ZT100YX."
        )
        frames = 1
    axes = [("T", 0), *([("Z", slices)] if slices > 1 else [])]
    if slices > 1 and frames > 1:
        axes.append(("R", int(frames)))
    if len(channels) > 1:
        axes.append(("C", len(channels)))
    volumes = (
        number(
            header, "hStackManager.actualNumVolumes", "hStackManager.numVolumes", "hFastZ.numVolumes", "fastZNumVolumes"
        )
        or 1.0
    )
    announced = (slices * frames + back) * max(volumes, 1.0) * len(channels)
    return Says(
        tuple(axes),
        channels=channels,
        back=back,
        announced=int(announced) if math.isfinite(announced) else 0,
        of_all=True,
        source="ScanImage's header",
        start=_start(table),
        unclear=unclear,
    )


def _start(table: PageTable) -> str:
    """Return what tells the start of an acquisition: files of one that was split say the same."""
    page = table.text(DESCRIPTION)
    found = re.findall(r"^(epoch|acquisitionNumbers) = (.*?)\r?$", page, re.M)
    return " ".join(value for _, value in found)
