"""Zarr movies: an array, or one of a group, named or the largest of an OME-NGFF image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.axes import order_axes, overruled
from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.hdf5 import choose_dataset
from caiman_pipeline.movies.readers.named_axes import Multiscale, letters_of, multiscales


@dataclass(frozen=True)
class FoundArray:
    """The movie in a Zarr store; the letters of its axes and its OME-NGFF image, where the store says so."""

    array: zarr.Array[Any]
    axes: str | None
    image: Multiscale | None


def find_array(path: Path, dataset: str | None, *, needed: bool) -> FoundArray:
    """Find the movie in a Zarr store; ``needed``: nobody else states its axes.

    Parameters
    ----------
    path : path
        A Zarr store.
    dataset : str or None
        Name of the array or image, as the sheet states it.
    needed : bool
        Nobody else states the axes.

    Returns
    -------
    FoundArray
        The array, with what the store says of its axes.

    Raises
    ------
    PipelineError
        If the store cannot be read, or it cannot be told which of its arrays is the movie or, if needed, what the
        axes are.
    """
    try:
        node = zarr.open(str(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise PipelineError(f"{path}: not a readable Zarr store ({error}). Copy it again.") from error
    if isinstance(node, zarr.Array):
        return FoundArray(node, _named(str(path), node, needed=needed), None)
    image = _find_image(path, multiscales(_groups(node)), dataset)
    if image is None:
        found = {name: item.shape for name, item in node.members(max_depth=None) if isinstance(item, zarr.Array)}
        array = node[choose_dataset(str(path), found, dataset)]
        return FoundArray(array, _named(str(path), array, needed=needed), None)
    array = node.get(image.dataset)
    if not isinstance(array, zarr.Array):
        raise PipelineError(
            f"{path}: its multiscales name an array {image.dataset!r}, which is not there. Copy it again."
        )
    said = (
        letters_of(str(path), image.axes, array.shape, needed=needed)
        if image.axes
        else _named(str(path), array, needed=needed)
    )
    return FoundArray(array, said, image)


def _groups(node: zarr.Group) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", dict(node.attrs)
    for name, item in node.members(max_depth=None):
        if isinstance(item, zarr.Group):
            yield name, dict(item.attrs)


def _find_image(path: Path, images: list[Multiscale], dataset: str | None) -> Multiscale | None:
    """Return the image that is wanted: the only one or that of the group named, at full resolution, or by its array."""
    wanted = (dataset or "").strip("/")
    fitting = [i for i in images if i.full and (not wanted or wanted in (i.dataset, i.dataset.rpartition("/")[0]))]
    fitting = fitting or [i for i in images if i.dataset == wanted]
    if len(fitting) > 1:
        listed = ", ".join(sorted(i.dataset for i in fitting))
        raise PipelineError(f"{path}: name the image to read in the sheet's `dataset` column. Images there: {listed}.")
    return fitting[0] if fitting else None


def _named(path: str, array: zarr.Array[Any], *, needed: bool) -> str | None:
    """Return the letters of an array's axes by the names that Zarr 3 or xarray gives them, or None."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    return letters_of(path, list(names), array.shape, needed=needed) if names else None


class ZarrReader:
    """A Zarr array on disk."""

    def __init__(self, path: Path, reading: Reading) -> None:
        found = find_array(path, reading.dataset, needed=reading.axes is None)
        self._array, self._path = found.array, path
        shape = tuple(self._array.shape)
        self._axes = order_axes(str(path), shape, reading, found.axes, channels=_channels(found, shape))
        self.n_frames, self.dims = self._axes.frames(shape), self._axes.dims(shape)
        self.notes = overruled(path, reading, found.axes)
        self.dtype = self._array.dtype.newbyteorder("=")

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W).

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            In the store's own type.

        Raises
        ------
        PipelineError
            If the frames cannot be read.
        """
        try:
            return self._axes.read(self._array, start, stop)
        except (OSError, ValueError, RuntimeError) as error:
            raise PipelineError(
                f"{self._path}: frames {start} to {stop} cannot be read ({error}). Copy it again from its source."
            ) from error


def _channels(found: FoundArray, shape: tuple[int, ...]) -> list[Channel]:
    """Return the channels by the names that an OME-NGFF image gives them, where it names them all."""
    at = found.axes.find("C") if found.axes else -1
    names = found.image.channels if found.image else ()
    return [Channel(i + 1, name) for i, name in enumerate(names)] if at >= 0 and len(names) == shape[at] else []
