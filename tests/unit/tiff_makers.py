"""Small TIFF files as microscopes lay them out."""

from __future__ import annotations

import struct

import numpy as np
import tifffile

from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.readers.open import open_movie_files

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
    "channels": "1",
    "names": NAMES,
    "fast": "false",
    "per_volume": 1,
    "back": 0,
    "discard": "false",
    "volumes": 1,
    "slices": 1,
    "frames": "Inf",
    "average": 1,
}


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
                (256, 4, 1, width),
                (257, 4, 1, height),
                (258, 3, 1, 16),
                (259, 3, 1, 1),
                (262, 3, 1, 1),
                (270, 2, len(text), at + directory),
                (273, 4, 1, at + directory + len(text)),
                (277, 3, 1, 1),
                (278, 4, 1, height),
                (279, 4, 1, size),
                (339, 3, 1, 2),
            ]
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


def opened(*paths, **reading):
    """Return the frames of files read as one movie, in one piece and in many, and what is told of them."""
    movie = open_movie_files(list(paths), Reading(**reading))
    frames = movie.read(0, movie.n_frames)
    assert frames.shape == (movie.n_frames, *movie.dims)
    assert sum(reader.n_frames for reader in movie.readers) == movie.n_frames
    for start in range(0, movie.n_frames, 3):
        piece = movie.read(start, min(start + 3, movie.n_frames))
        np.testing.assert_array_equal(piece, frames[start : start + 3])
    return frames, movie.notes


def write_set(folder, pages, places, *, size, full=True, names=()):
    """Write one file an image, each with the whole XML, or with where it is."""
    ids = [f"00000000-0000-0000-0000-{i:012d}" for i in range(len(pages))]
    paths = [folder / f"m_t{t:03d}_z{z}_c{c}.ome.tif" for t, z, c in places]
    blocks = "".join(
        f'<TiffData FirstT="{t}" FirstZ="{z}" FirstC="{c}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name}">urn:uuid:{own}</UUID></TiffData>'
        for (t, z, c), path, own in zip(places, paths, ids, strict=True)
    )
    for i, (path, page, own) in enumerate(zip(paths, pages, ids, strict=True)):
        xml = ome_xml(blocks, own=own, size=size, names=names)
        if not full and i:
            binary_only = f'<BinaryOnly MetadataFile="{paths[0].name}" UUID="urn:uuid:{ids[0]}"/>'
            xml = f'<?xml version="1.0"?><OME UUID="urn:uuid:{own}">{binary_only}</OME>'
        tifffile.imwrite(path, page, description=xml, metadata=None)
    return paths
