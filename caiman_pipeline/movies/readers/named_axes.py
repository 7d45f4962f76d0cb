"""What array files say of their axes: HDF5 dimension labels and scales, ``_ARRAY_DIMENSIONS``, OME-NGFF multiscales."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py

from caiman_pipeline.model.errors import PipelineError

LETTERS = {
    "T": "t time times timepoint timepoints frame frames time_s",
    "Z": "z plane planes slice slices depth",
    "C": "c ch channel channels color colour",
    "Y": "y row rows height lines",
    "X": "x col cols column columns width",
}
LETTER_OF = {name: letter for letter, names in LETTERS.items() for name in names.split()}
# Names that say nothing: of xarray, of netCDF, and none.
EMPTY = ("", "dim_", "phony_dim")


def letters_of(path: str, names: Sequence[str | None], shape: tuple[int, ...], *, needed: bool) -> str | None:
    """Return the letters of named axes, or None where the names say nothing.

    Parameters
    ----------
    path : str
        The file, for messages.
    names : sequence of str or None
        What it calls its axes.
    shape : tuple of int
        Shape of the array.
    needed : bool
        Nobody else states the axes.

    Returns
    -------
    str or None
        A letter of TZCYX for each axis.

    Raises
    ------
    PipelineError
        If they are ``needed`` (nobody else states the axes), and some of the names are not known or two mean the same.

    Examples
    --------
    >>> letters_of("a.zarr", ["time", "y", "x"], (500, 96, 128), needed=False)
    'TYX'
    """
    known = [str(name or "").strip().casefold() for name in names]
    if len(known) != len(shape) or all(n == "" or n.startswith(EMPTY[1:]) for n in known):
        return None
    letters = "".join(LETTER_OF.get(name, "?") for name in known)
    if "?" not in letters and len(set(letters)) == len(letters):
        return letters
    if needed:
        raise PipelineError(
            f"{path}: the file calls its axes {', '.join(map(repr, names))} (shape {shape}), which does not tell "
            "which is what. State them in the sheet's `axes` column, one letter of TZCYX for each axis, for example "
            "TYX."
        )
    return None


def hdf5_axes(path: str, dataset: h5py.Dataset, *, needed: bool) -> str | None:
    """Return what an HDF5 file says of a dataset's axes, in letters, or None.

    By its dimension labels, the names of its dimension scales (netCDF), ``_ARRAY_DIMENSIONS``, or axis tags (ilastik).

    Parameters
    ----------
    path : str
        The file, for messages.
    dataset : h5py.Dataset
        The movie.
    needed : bool
        Nobody else states the axes.

    Returns
    -------
    str or None
        A letter of TZCYX for each axis.

    Raises
    ------
    PipelineError
        If it is ``needed`` and not understood.
    """
    scales = [next((scale.name.rsplit("/", 1)[-1] for scale in dim.values()), "") for dim in dataset.dims]
    tags = dataset.attrs.get("axistags")
    sayings: list[Sequence[str | None]] = [
        [dim.label for dim in dataset.dims],
        _names(dataset.attrs.get("_ARRAY_DIMENSIONS", ())),
        scales,
        re.findall(r'"key"\s*:\s*"(\w+)"', _text(tags)) if tags is not None else [],
    ]
    found = (letters_of(path, names, dataset.shape, needed=needed) for names in sayings if any(names))
    return next((letters for letters in found if letters), None)


def _names(value: Any) -> list[str]:
    """Return names that are stored one by one, or in one text such as a JSON list."""
    if isinstance(value, str | bytes):
        return re.findall(r"\w+", _text(value))
    return [_text(name) for name in value] if hasattr(value, "__iter__") else []


def _text(value: Any) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Multiscale:
    """An image of an OME-NGFF group at one of its resolutions.

    Attributes
    ----------
    dataset : path of the array below the group that was opened
    axes : names, None where the version of the format does not say them
    scale : size of a step along each axis; ``units`` : its unit, "" where unknown
    channels : names of the channels, as far as given
    full : this is the full resolution
    """

    dataset: str
    axes: tuple[str, ...] | None
    scale: tuple[float, ...]
    units: tuple[str, ...]
    channels: tuple[str, ...]
    full: bool = True


def multiscales(groups: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Multiscale]:
    """Return the images that groups (path, attributes) announce, each resolution, by OME-NGFF 0.1 to 0.5.

    Parameters
    ----------
    groups : iterable of (str, mapping)
        Path and attributes of each group.

    Returns
    -------
    list of Multiscale
        One for each resolution of each image.
    """
    found = []
    for place, attributes in groups:
        said = attributes.get("ome") or attributes  # from 0.5 on
        channels = (said.get("omero") or attributes.get("omero") or {}).get("channels") or ()
        names = tuple(str(c.get("label", "")) for c in channels)
        for image in said.get("multiscales") or ():
            found += [_image(place, image, level, names) for level in range(len(image.get("datasets") or ()))]
    return found


def _image(place: str, image: Mapping[str, Any], number: int, channels: tuple[str, ...]) -> Multiscale:
    level = image["datasets"][number]  # the first is the largest
    axes = image.get("axes")
    if axes is None and str(image.get("version", "0.1")) in ("0.1", "0.2"):
        axes = list("tczyx")  # these versions allow no other
    named = [a if isinstance(a, Mapping) else {"name": a} for a in axes or ()]
    scale = [1.0] * len(named)
    for transform in (t for said in (level, image) for t in said.get("coordinateTransformations") or ()):
        if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(scale):
            scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
    units = tuple(str(a.get("unit") or "") for a in named)
    names = tuple(str(a["name"]) for a in named) or None
    path = "/".join(p for p in (place.strip("/"), str(level["path"]).strip("/")) if p)
    return Multiscale(path, names, tuple(scale), units, channels, number == 0)
