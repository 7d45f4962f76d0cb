"""TIFF: OME in a BigTIFF, or an ImageJ hyperstack; all frames in one run, so that they can be mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.writers.target import Append, Target, append_bytes

OME_TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
IMAGEJ_TYPES = ["uint8", "uint16", "float32"]
# ImageJ's files count bytes in 32 bits; beyond it only its own importer finds frames, by what a header promises.
IMAGEJ_BYTES = 2**32 - 2**25


@contextmanager
def write_ome(path: Path, target: Target) -> Iterator[Append]:
    """Write an OME-TIFF, which Fiji, napari and ImageJ's Bio-Formats open with its axes, sizes and rate."""
    _require_type(path, target, OME_TYPES, "An OME-TIFF")
    steps, names = (
        target.steps,
        {"T": "TimeIncrement", "Z": "PhysicalSizeZ", "Y": "PhysicalSizeY", "X": "PhysicalSizeX"},
    )
    known = {names[letter]: step for letter, step in steps.items() if step}
    units = {f"{name}Unit": "s" if name == "TimeIncrement" else "µm" for name in known}
    with _frames(
        path, target, {"bigtiff": True, "ome": True, "metadata": {"axes": target.axes, **known, **units}}
    ) as append:
        yield append


@contextmanager
def write_imagej(path: Path, target: Target) -> Iterator[Append]:
    """Write what ImageJ itself opens as a hyperstack with sizes and rate."""
    _require_type(path, target, IMAGEJ_TYPES, "An ImageJ hyperstack")
    if target.n_bytes > IMAGEJ_BYTES:
        raise PipelineError(
            f"{path}: ImageJ's own files end at 4 GB, and this movie has {target.n_bytes / 1e9:.1f} GB. Use `--format "
            "ome-tiff`, which Fiji opens through Bio-Formats, or `--format zarr`."
        )
    steps = target.steps
    stated: dict[str, Any] = {"axes": target.axes}
    if steps["T"]:
        stated |= {"finterval": steps["T"], "fps": 1 / steps["T"], "tunit": "s"}
    options: dict[str, Any] = {"imagej": True, "byteorder": "<"}
    if steps["Y"] and steps["X"]:
        stated |= {"unit": "um"}
        options["resolution"] = (1 / steps["X"], 1 / steps["Y"])
    if steps.get("Z"):
        stated |= {"spacing": steps["Z"], "unit": "um"}
    with _frames(path, target, {**options, "metadata": stated}) as append:
        yield append


def _require_type(path: Path, target: Target, types: list[str], what: str) -> None:
    if target.dtype.name not in types:
        raise PipelineError(
            f"{path}: {what} holds {', '.join(types)}, not {target.dtype}. Choose one of these with `--dtype`."
        )


@contextmanager
def _frames(path: Path, target: Target, options: dict[str, Any]) -> Iterator[Append]:
    import tifffile

    place = tifffile.imwrite(
        path,
        shape=target.shape,
        dtype=target.dtype.newbyteorder("<"),
        photometric="minisblack",
        returnoffset=True,
        **options,
    )
    with path.open("r+b") as file:
        file.seek(place[0])
        yield append_bytes(file.write, target.dtype.newbyteorder("<"))
