"""HDF5 movies: one dataset of a file, named when there are several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.axes import order_axes, overruled
from caiman_pipeline.movies.readers.named_axes import hdf5_axes


class Hdf5Reader:
    """A dataset of an HDF5 file; opened for each read, so that readers can be shared between threads."""

    def __init__(self, path: Path, reading: Reading, agreed: Mapping[int, str] | None = None) -> None:
        """Open a dataset; ``agreed``: the axes that a standard gives to an array, by how many there are."""
        self._path = path
        try:
            with h5py.File(path, "r") as file:
                self._name = find_dataset(path, file, reading.dataset)
                refuse_bytes_of_others(path, file[self._name])
                shape, self.dtype = file[self._name].shape, file[self._name].dtype.newbyteorder("=")
                if agreed is None:
                    stored = hdf5_axes(f"{path}:{self._name}", file[self._name], needed=reading.axes is None)
                else:
                    stored = agreed.get(len(shape))
        except OSError as error:
            raise PipelineError(f"{path}: not a whole HDF5 file ({error}). Copy it again from its source.") from error
        self._axes = order_axes(f"{path}:{self._name}", shape, reading, stored)
        self.n_frames, self.dims = self._axes.frames(shape), self._axes.dims(shape)
        self.notes = overruled(path, reading, stored)

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
            In the file's own type.

        Raises
        ------
        PipelineError
            If the frames cannot be read.
        """
        try:
            with h5py.File(self._path, "r") as file:
                return self._axes.read(file[self._name], start, stop)
        except OSError as error:
            raise PipelineError(
                f"{self._path}: frames {start} to {stop} cannot be read ({error}). Copy the file again from its source."
            ) from error


def refuse_bytes_of_others(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose pixels are the bytes of another file, which may be any on this computer.

    Raises
    ------
    PipelineError
        If it is one.
    """
    if dataset.external:
        named = ", ".join(entry[0] for entry in dataset.external)
        raise PipelineError(
            f"{path}: the pixels of {dataset.name} are said to be bytes of another file ({named}), which is not read. "
            "Save the movie into one file, for example with h5repack."
        )


def find_dataset(path: Path, file: h5py.File, wanted: str | None) -> str:
    """Return the name of the dataset to read; one that is only linked to is found by its name alone.

    Parameters
    ----------
    path : path
        The file, for messages.
    file : h5py.File
        It, open.
    wanted : str or None
        Name, as the sheet states it.

    Returns
    -------
    str
        Name in the file.

    Raises
    ------
    PipelineError
        If it is not there or cannot be told, with what is there.
    """
    if wanted is not None and isinstance(file.get(wanted), h5py.Dataset):
        return wanted
    return choose_dataset(str(path), _datasets(file), wanted)


def _datasets(file: h5py.File) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 2:
            found[name] = item.shape

    file.visititems(visit)
    return found


def choose_dataset(path: str, found: dict[str, tuple[int, ...]], wanted: str | None) -> str:
    """Return the dataset to read: the wanted one, or the only one with three or more axes.

    Parameters
    ----------
    path : str
        The file, for messages.
    found : dict of str to tuple of int
        Shapes of the datasets, by name.
    wanted : str or None
        Name, as the sheet states it.

    Returns
    -------
    str
        Name in the file.

    Raises
    ------
    PipelineError
        If it is not there or cannot be told, with what is there.

    Examples
    --------
    >>> choose_dataset("a.h5", {"mov": (500, 96, 128), "time": (500,)}, None)
    'mov'
    """
    listing = ", ".join(f"{name} {shape}" for name, shape in sorted(found.items())) or "none"
    if wanted is not None:
        if wanted.strip("/") in found:
            return wanted.strip("/")
        raise PipelineError(f"{path}: no dataset {wanted!r}. Datasets there: {listing}.")
    movies = [name for name, shape in found.items() if len(shape) >= 3]
    if len(movies) == 1:
        return movies[0]
    raise PipelineError(f"{path}: name the dataset to read in the sheet's `dataset` column. Datasets there: {listing}.")
