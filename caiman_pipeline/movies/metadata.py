"""What a movie file says about its own acquisition: frame rate, pixel size along each axis, distance between planes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.tiff.ome import ome_head
from caiman_pipeline.movies.readers.tiff.pages import read_pages
from caiman_pipeline.movies.readers.tiff.scanimage import (
    is_fast_stack,
    n_slices,
    number,
    scanimage_header,
    switch,
    volumes_unclear,
)

# Share by which a rate, and a size, may differ from what the file states without contradicting it: users round.
RATE_TOLERANCE, SIZE_TOLERANCE = 0.05, 0.1
TOLERANCES = {"frame_rate_hz": RATE_TOLERANCE, "pixel_size_um": SIZE_TOLERANCE, "plane_spacing_um": SIZE_TOLERANCE}
# Sizes along rows and columns that differ by less come from rounding: pixels are square.
SQUARE_TOLERANCE = 1e-3
TIFF_SUFFIXES = (".tif", ".tiff", ".btf")
UNITS = {
    1.0: "um µm μm \\u00b5m micron microns micrometer micrometers micrometre micrometres",
    1e-3: "nm nanometer nanometers",
    1e3: "mm millimeter millimeters",
    1e4: "cm centimeter centimeters",
    1e6: "m meter meters",
}
MICROMETRES = {name: scale for scale, names in UNITS.items() for name in names.split()}
SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "min": 60.0,
}
# Times between frames are not rounded as rates are, which are made of them.
INTERVAL_DIGITS = 12
# Attributes of an HDF5 dataset that tell frames per second: of movies written here, and by CaImAn.
RATE_NAMES = ("frame_rate_hz", "fr")
YES = ("true", "1", "True")


@dataclass(frozen=True)
class FileMetadata:
    """Facts that a file states, None where it says nothing (or something impossible).

    Attributes
    ----------
    pixel_size_um : along rows and along columns (a pixel's height and width)
    """

    frame_rate_hz: float | None = None
    pixel_size_um: tuple[float, float] | None = None
    plane_spacing_um: float | None = None

    def every_nth_plane(self, step: int) -> FileMetadata:
        """Return the facts where only every so many planes are read.

        Parameters
        ----------
        step : int
            One of so many planes.

        Returns
        -------
        FileMetadata
            With the planes as much further apart.
        """
        return replace(self, plane_spacing_um=self.plane_spacing_um and self.plane_spacing_um * step)


def read_metadata(path: Path | str, dataset: str | None = None) -> FileMetadata:
    """Read what a file says about its acquisition; NWB and Scanbox tell their rate.

    ScanImage, OME, ImageJ and Prairie (its XML beside the images) TIFF are asked, HDF5 files for `element_size_um`
    and `frame_rate_hz` (or `fr`) of the movie's dataset,
    and OME-NGFF images for their scale where it has a unit; other formats say nothing.

    Parameters
    ----------
    path : path
        A movie.
    dataset : str, optional
        The movie's dataset, of an HDF5 or Zarr file.

    Returns
    -------
    FileMetadata
        Frame rate, Hz, and sizes, um; None for what the file does not say.

    Raises
    ------
    PipelineError
        If the file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _hdf5(path, dataset)
    if path.suffix.lower() == ".zarr":
        return _zarr(path, dataset)
    if path.suffix.lower() == ".nwb":
        return _nwb(path, dataset)
    if path.suffix.lower() == ".sbx":
        return _scanbox(path)
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return FileMetadata()
    try:
        found = _tiff(path)
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise PipelineError(f"{path}: not a readable TIFF file ({error}). Copy it again from its source.") from error
    return _completed(found, path)


def differs(given: float | None, stated: float | None, tolerance: float) -> bool:
    """Tell whether two values of a fact contradict each other; an unknown one contradicts nothing.

    Parameters
    ----------
    given : float or None
        One value.
    stated : float or None
        Another one, in the same unit.
    tolerance : float
        Share of the second by which they may differ.

    Returns
    -------
    bool
        Whether they differ by more.

    Examples
    --------
    >>> differs(30.0, 30.9, 0.05), differs(30.0, 15.0, 0.05), differs(None, 15.0, 0.05)
    (False, True, False)
    """
    return given is not None and stated is not None and abs(given - stated) > tolerance * stated


def contradictions(given: FileMetadata, stated: FileMetadata) -> list[str]:
    """Return the names of the facts of which a file says something else than what was given.

    Parameters
    ----------
    given : FileMetadata
        What sheet and config say.
    stated : FileMetadata
        What the file says.

    Returns
    -------
    list of str
        Names of the facts.
    """
    found = []
    for name, tolerance in TOLERANCES.items():
        ours, theirs = getattr(given, name), getattr(stated, name)
        pairs = zip(ours, theirs, strict=True) if ours and theirs and isinstance(ours, tuple) else [(ours, theirs)]
        found += [name] if any(differs(a, b, tolerance) for a, b in pairs) else []
    return found


def as_text(fact: float | tuple[float, float]) -> str:
    """Return a fact as it is written into the sheet: sizes along rows and columns as one number where they agree.

    Parameters
    ----------
    fact : float or (float, float)
        A rate or size, in its unit.

    Returns
    -------
    str
        Without its unit.

    Examples
    --------
    >>> as_text((1.2, 1.2)), as_text((1.2, 0.9))
    ('1.2', '1.2 x 0.9')
    """
    values = fact if isinstance(fact, tuple) else (fact,)
    return " x ".join(f"{v:g}" for v in dict.fromkeys(values))


def _positive(value: Any, scale: float = 1.0, *, digits: int = 6) -> float | None:
    """Return a number that can be a rate or a size, rounded to some digits, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) * scale
    except ValueError:
        return None
    return float(f"{number:.{digits}g}") if math.isfinite(number) and number > 0 else None


def _rate(seconds_per_frame: float | None) -> float | None:
    return _positive(1 / seconds_per_frame) if seconds_per_frame else None


def _pixels(row_um: float | None, column_um: float | None) -> tuple[float, float] | None:
    """Return the size of a pixel from its height and width; with one of them unknown, it is not known."""
    if row_um is None or column_um is None:
        return None
    return (row_um if differs(row_um, column_um, SQUARE_TOLERANCE) else column_um, column_um)


def _tiff(path: Path) -> FileMetadata:
    """Ask the first page; of OME-XML, which may list all files of a set in each of them, only the beginning is read."""
    table = read_pages(path, first_only=True)
    if header := scanimage_header(table):
        return _scanimage(header, table.layouts[0].height, table.layouts[0].width)
    if head := ome_head(table):
        return _ome(head)
    with tifffile.TiffFile(path, is_ome=False) as file:
        return _imagej(file) if file.is_imagej else FileMetadata()


def _completed(found: FileMetadata, path: Path) -> FileMetadata:
    """Fill in what the XML beside a Prairie image says and the image itself does not."""
    from caiman_pipeline.movies.readers.tiff.prairie import prairie_facts

    stated = {name: _positive(value) for name, value in prairie_facts(path).items()}
    return replace(
        found,
        frame_rate_hz=found.frame_rate_hz or _rate(stated.get("seconds_per_frame")),
        pixel_size_um=found.pixel_size_um or _pixels(stated.get("row_um"), stated.get("column_um")),
        plane_spacing_um=found.plane_spacing_um or stated.get("plane_um"),
    )


def _scanimage(header: Mapping[str, str], rows: int, columns: int) -> FileMetadata:
    volumes = is_fast_stack(header) and (n_slices(header) > 1 or not any("Slices" in name for name in header))
    rate = _positive(header.get(f"hRoiManager.scan{'Volume' if volumes else 'Frame'}Rate"))
    if rate is None and volumes:
        rate = _rate(_positive(header.get("fastZPeriod")))
    elif rate is None:
        rate = _positive(header.get("scanFrameRate")) or _positive(header.get("state.acq.frameRate"))
    average = number(header, "hScan2D.logAverageFactor", "acqNumAveragedFrames") or 1.0
    if switch(header, "state.acq.averaging") or volumes_unclear(header):
        # How many frames make one that is written is not told by one entry in all versions; nor is it known whether
        # frames or volumes follow one another where the planes are not told.
        rate = None
    return FileMetadata(
        frame_rate_hz=_positive(rate / average) if rate else None,
        pixel_size_um=_scanimage_pixel(header, rows, columns),
        plane_spacing_um=_positive(header.get("hStackManager.stackZStepSize")) if volumes else None,
    )


def _scanimage_pixel(header: Mapping[str, str], rows: int, columns: int) -> tuple[float, float] | None:
    """Return the field of view over its lines and pixels; None where pages are put together of several fields."""
    pixels = _positive(header.get("hRoiManager.pixelsPerLine"))
    lines = _positive(header.get("hRoiManager.linesPerFrame")) or (rows if pixels == columns else None)
    if header.get("hRoiManager.mroiEnable") in YES or lines is None or pixels is None:
        return None
    numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", header.get("hRoiManager.imagingFovUm", ""))
    if len(numbers) != 8:
        return None
    corners = [complex(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    width, height = abs(corners[1] - corners[0]), abs(corners[3] - corners[0])
    return _pixels(_positive(height / lines), _positive(width / pixels))


def _ome(text: str) -> FileMetadata:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", text)
    stated = dict(re.findall(r'(\w+)="([^"]*)"', pixels[0])) if pixels else {}

    def length(name: str) -> float | None:
        return _positive(stated.get(name), MICROMETRES.get(stated.get(name + "Unit", "µm"), 0.0))

    unit = SECONDS.get(stated.get("TimeIncrementUnit", "s"), 0.0)
    interval = _positive(stated.get("TimeIncrement"), unit, digits=INTERVAL_DIGITS)
    size = _pixels(length("PhysicalSizeY"), length("PhysicalSizeX"))
    return FileMetadata(_rate(interval), size, length("PhysicalSizeZ"))


def _imagej(file: tifffile.TiffFile) -> FileMetadata:
    stated: Mapping[str, Any] = file.imagej_metadata or {}
    unit = SECONDS.get(str(stated.get("tunit", "s")), 0.0)
    interval = _positive(stated.get("finterval"), unit, digits=INTERVAL_DIGITS)

    def scale(axis: str) -> float:
        """Micrometres in the unit along an axis; where it is that of all, there is but one."""
        unit = str(stated.get(axis + "unit", stated.get("unit", "")))
        return MICROMETRES.get(unit, MICROMETRES.get(unit.lower(), 0.0))

    def size(tag_name: str, axis: str) -> float | None:
        tag = file.pages.first.tags.get(tag_name)
        pixels, units = tag.value if tag is not None else (0, 1)
        return _positive(units / pixels, scale(axis)) if pixels else None

    return FileMetadata(
        frame_rate_hz=_rate(interval) or _positive(stated.get("fps")),
        pixel_size_um=_pixels(size("YResolution", "y"), size("XResolution", "x")),
        plane_spacing_um=_positive(stated.get("spacing"), scale("z")),
    )


def _hdf5(path: Path, dataset: str | None) -> FileMetadata:
    """Read the rate and `element_size_um` ([planes,] rows, columns) of the movie's dataset, as ImageJ's plugin does."""
    import h5py

    from caiman_pipeline.movies.readers.hdf5 import find_dataset

    try:
        with h5py.File(path, "r") as file:
            said = file[find_dataset(path, file, dataset)].attrs
            stated = said.get("element_size_um")
            rates = [_positive(said[name].item()) for name in RATE_NAMES if isinstance(said.get(name), np.generic)]
    except OSError as error:
        raise PipelineError(f"{path}: not a whole HDF5 file ({error}). Copy it again from its source.") from error
    listed = isinstance(stated, Sequence | np.ndarray) and not isinstance(stated, str | bytes) and np.ndim(stated) == 1
    sizes = [_positive(s.item() if isinstance(s, np.generic) else s) for s in stated] if listed else []
    rate = rates[0] if rates else None
    if len(sizes) not in (2, 3):
        return FileMetadata(rate)
    return FileMetadata(rate, _pixels(sizes[-2], sizes[-1]), sizes[0] if len(sizes) == 3 else None)


def _nwb(path: Path, dataset: str | None) -> FileMetadata:
    """Read the rate of a series of images; its plane's spacing has no order that all keep."""
    from caiman_pipeline.movies.readers.nwb import read_rate

    return FileMetadata(_positive(read_rate(path, dataset)))


def _scanbox(path: Path) -> FileMetadata:
    """Read the rate, of volumes where frames go through planes in turn."""
    from caiman_pipeline.movies.readers.scanbox import read_header

    header = read_header(path)
    return FileMetadata(header.frame_rate_hz and _positive(header.frame_rate_hz / header.planes))


def _zarr(path: Path, dataset: str | None) -> FileMetadata:
    """Read the scale of an OME-NGFF image; a step whose unit is not said is not known."""
    from caiman_pipeline.movies.readers.zarr import find_array

    found = find_array(path, dataset, needed=False)
    if found.image is None or not found.axes or len(found.image.scale) != len(found.axes):
        return FileMetadata()
    steps = {
        letter: _positive(step, (SECONDS if letter == "T" else MICROMETRES).get(unit, 0.0), digits=INTERVAL_DIGITS)
        for letter, step, unit in zip(found.axes, found.image.scale, found.image.units, strict=True)
    }
    sizes = {letter: _positive(steps.get(letter)) for letter in "ZYX"}
    return FileMetadata(_rate(steps.get("T")), _pixels(sizes["Y"], sizes["X"]), sizes["Z"])
