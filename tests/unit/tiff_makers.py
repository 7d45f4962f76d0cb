"""Small TIFF files as microscopes lay them out."""

from __future__ import annotations

import struct

import numpy as np
import tifffile

HEADER = """SI.LINE_FORMAT_VERSION = 1
SI.VERSION_MAJOR = '2018b'
SI.hChannels.channelSave = {channels}
SI.hChannels.channelName = {names}
SI.hFastZ.enable = {fast}
SI.hFastZ.numFramesPerVolume = {per_volume}
SI.hFastZ.numDiscardFlybackFrames = {back}
SI.hFastZ.discardFlybackFrames = {discard}
SI.hFastZ.numVolumes = {volumes}
SI.hStackManager.numSlices = {slices}
SI.hStackManager.framesPerSlice = {frames}
SI.hRoiManager.scanFrameRate = 30
SI.hRoiManager.scanVolumeRate = 6
SI.hScan2D.logAverageFactor = {average}"""
NAMES = "{'Channel 1' 'Channel 2' 'GCaMP' 'Channel 4'}"
DEFAULTS = {
    "channels": "1", "names": NAMES, "fast": "false", "per_volume": 1, "back": 0, "discard": "false", "volumes": 1,
    "slices": 1, "frames": "Inf", "average": 1,
}  # fmt: skip


def images(count, height=5, width=7, dtype=np.int16):
    """Return images each of whose pixels tells its number and place: (count, height, width)."""
    return (np.arange(count * height * width).reshape(count, height, width) - 300).astype(dtype)


def header(**values):
    """Return a ScanImage header (2016 to 2019)."""
    return HEADER.format(**(DEFAULTS | values))


def write_scanimage(path, pages, text, *, acquisition=1, epoch="", numbered_from=1):
    """Write a BigTIFF with the header in each page's Software tag, one page an image."""
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for i, page in enumerate(pages, numbered_from):
            said = f"frameNumbers = {i}\nacquisitionNumbers = {acquisition}\nframeTimestamps_sec = {i / 30:.6f}\n"
            said += f"epoch = {epoch}\n" if epoch else ""
            writer.write(page, software=text, description=said.ljust(200), metadata=None, contiguous=False)


def write_described(path, pages, description, **options):
    """Write one page an image, the first of them (or all) with a description."""
    with tifffile.TiffWriter(path, **options) as writer:
        for page in pages:
            writer.write(page, description=description, metadata=None, contiguous=False, software=False)


def write_equidistant(path, pages, description):
    """Write a classic TIFF as ScanImage up to 2015 lays it out: directory, description and pixels, page after page."""
    height, width = pages[0].shape
    text = description.encode() + b"\0"
    text += b"\0" * (-len(text) % 4)
    size = height * width * 2
    directory = 2 + 12 * 11 + 4
    directory += -directory % 4
    step = directory + len(text) + size + (-size % 4)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 8))
        for i, page in enumerate(pages):
            at = 8 + i * step
            values = [
                (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
                (270, 2, len(text), at + directory), (273, 4, 1, at + directory + len(text)), (277, 3, 1, 1),
                (278, 4, 1, height), (279, 4, 1, size), (339, 3, 1, 2),
            ]  # fmt: skip
            tags = struct.pack("<H", 11) + b"".join(struct.pack("<HHII", *v) for v in values)
            tags += struct.pack("<I", at + step if i < len(pages) - 1 else 0)
            file.write(tags.ljust(directory, b"\0") + text + page.astype("<i2").tobytes() + b"\0" * (-size % 4))


def ome_xml(blocks, *, own="", order="XYCZT", size=(1, 1, 1), height=5, width=7, names=()):
    """Return OME-XML of int16 images; ``size`` is times, planes, channels."""
    called = "".join(f'<Channel ID="Channel:0:{i}" Name="{n}" SamplesPerPixel="1"/>' for i, n in enumerate(names))
    own = f' UUID="urn:uuid:{own}"' if own else ""
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    stated = " ".join(f'Size{axis}="{n}"' for axis, n in zip("XYTZC", (width, height, *size), strict=True))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}"{own}><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="{order}" Type="int16" {stated}>{called}{blocks}</Pixels></Image></OME>'
    )
