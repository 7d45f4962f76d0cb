"""What a movie file says about its own acquisition: frame rate, pixel size, distance between planes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from caiman_pipeline.errors import PipelineError

RATE_TOLERANCE, SIZE_TOLERANCE = 0.05, 0.1
TIFF_SUFFIXES = (".tif", ".tiff", ".btf")
MICROMETRES = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "\\u00b5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4,
}  # fmt: skip
SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "min": 60.0}


@dataclass(frozen=True)
class FileMetadata:
    """Facts that a file states, None where it says nothing (or something impossible)."""

    frame_rate_hz: float | None = None
    pixel_size_um: float | None = None
    plane_spacing_um: float | None = None


def read_metadata(path: Path | str) -> FileMetadata:
    """Read what a file says about its acquisition: ScanImage, OME and ImageJ TIFF; other formats say nothing.

    Raises
    ------
    PipelineError
        If the file cannot be read.
    """
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return FileMetadata()
    try:
        with tifffile.TiffFile(path) as file:
            if file.is_scanimage:
                return _scanimage(file)
            if file.is_ome:
                return _ome(file.ome_metadata or "")
            return _imagej(file) if file.is_imagej else FileMetadata()
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        raise PipelineError(f"{path}: not a readable TIFF file ({error}). Copy it again from its source.") from error


def differs(given: float | None, stated: float | None, tolerance: float) -> bool:
    """Tell whether two values of a fact contradict each other; an unknown one contradicts nothing."""
    return given is not None and stated is not None and abs(given - stated) > tolerance * stated


def _positive(value: Any, scale: float = 1.0) -> float | None:
    """Return a number that can be a rate or a size, rounded to six digits, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) * scale
    except ValueError:
        return None
    return float(f"{number:.6g}") if math.isfinite(number) and number > 0 else None


def _rate(seconds_per_frame: float | None) -> float | None:
    return _positive(1 / seconds_per_frame) if seconds_per_frame else None


def _scanimage(file: tifffile.TiffFile) -> FileMetadata:
    header = dict(re.findall(r"^(SI[\w.]*) = (.+)$", str(file.pages.first.software or ""), re.M))
    header = header or {str(k): str(v) for k, v in ((file.scanimage_metadata or {}).get("FrameData") or {}).items()}
    volumes = header.get("SI.hFastZ.enable") in ("true", "1", "True")
    rate = _positive(header.get(f"SI.hRoiManager.scan{'Volume' if volumes else 'Frame'}Rate"))
    average = _positive(header.get("SI.hScan2D.logAverageFactor")) or 1.0
    corners = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", header.get("SI.hRoiManager.imagingFovUm", ""))]
    width = max(corners[::2]) - min(corners[::2]) if len(corners) >= 4 else None
    columns = _positive(header.get("SI.hRoiManager.pixelsPerLine"))
    return FileMetadata(
        frame_rate_hz=_positive(rate / average) if rate else None,
        pixel_size_um=_positive(width / columns) if width and columns else None,
        plane_spacing_um=_positive(header.get("SI.hStackManager.stackZStepSize")) if volumes else None,
    )


def _ome(text: str) -> FileMetadata:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", text)
    stated = dict(re.findall(r'(\w+)="([^"]*)"', pixels[0])) if pixels else {}

    def length(name: str) -> float | None:
        return _positive(stated.get(name), MICROMETRES.get(stated.get(name + "Unit", "µm"), 0.0))

    interval = _positive(stated.get("TimeIncrement"), SECONDS.get(stated.get("TimeIncrementUnit", "s"), 0.0))
    return FileMetadata(_rate(interval), length("PhysicalSizeX"), length("PhysicalSizeZ"))


def _imagej(file: tifffile.TiffFile) -> FileMetadata:
    stated: Mapping[str, Any] = file.imagej_metadata or {}
    interval = _positive(stated.get("finterval"), SECONDS.get(str(stated.get("tunit", "s")), 0.0))
    scale = MICROMETRES.get(str(stated.get("unit", "")), 0.0)
    tag = file.pages.first.tags.get("XResolution")
    pixels, units = tag.value if tag is not None else (0, 1)
    return FileMetadata(
        frame_rate_hz=_rate(interval) or _positive(stated.get("fps")),
        pixel_size_um=_positive(units / pixels, scale) if pixels else None,
        plane_spacing_um=_positive(stated.get("spacing"), scale),
    )
