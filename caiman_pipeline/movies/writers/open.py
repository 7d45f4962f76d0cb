"""Write movies of any size: frames come block by block, the file is whole in the end, or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.metadata import FileMetadata
from caiman_pipeline.movies.readers.open import FrameReader
from caiman_pipeline.movies.writers.target import Append, Target
from caiman_pipeline.movies.writers.values import Conversion
from caiman_pipeline.numerics.threads import stream_ordered
from caiman_pipeline.results.atomic import require_space, whole_file, whole_folder

# Frames that are read together, in bytes of the longest of them.
BLOCK_BYTES = 2**25
MOST_FRAMES = 1024


@dataclass(frozen=True)
class Format:
    """A format to write: where its writer is, the suffixes that mean it, and whether frames keep their size in it."""

    place: str
    suffixes: tuple[str, ...] = ()
    folder: bool = False
    compressed: bool = False

    def writer(self) -> Callable[[Path, Target], AbstractContextManager[Append]]:
        """Import the writer."""
        module, name = self.place.split(":")
        return getattr(import_module(f"caiman_pipeline.movies.writers.{module}"), name)


FORMATS: dict[str, Format] = {
    "ome-tiff": Format("tiff:write_ome", (".tif", ".tiff", ".btf")),
    "imagej": Format("tiff:write_imagej"),
    "hdf5": Format("arrays:write_hdf5", (".h5", ".hdf5")),
    "zarr": Format("arrays:write_zarr", (".zarr",), folder=True, compressed=True),
    "npy": Format("arrays:write_npy", (".npy",)),
    "npz": Format("arrays:write_npz", (".npz",)),
    "mat": Format("arrays:write_mat", (".mat",)),
    "avi": Format("video:write_avi", (".avi",), compressed=True),
    "mkv": Format("video:write_mkv", (".mkv",), compressed=True),
    "mp4": Format("video:write_mp4", (".mp4",), compressed=True),
}
VIDEOS = ("avi", "mkv", "mp4")


def format_of(path: Path | str, name: str | None = None) -> str:
    """Return the name of the format to write: the one asked for, else that of the path's suffix.

    Raises
    ------
    PipelineError
        If neither is known.
    """
    suffix = Path(path).suffix.lower()
    if name is not None and name not in FORMATS:
        raise PipelineError(f"{path}: no format {name!r} to write. There are {', '.join(FORMATS)}.")
    found = name or next((n for n, f in FORMATS.items() if suffix in f.suffixes), None)
    if found is None:
        known = ", ".join(s for f in FORMATS.values() for s in f.suffixes)
        raise PipelineError(f"{path}: movies are written as {known}, not {suffix!r}.")
    return found


@contextmanager
def movie_writer(
    path: Path, shape: Dims, dtype: np.dtype, facts: FileMetadata | None = None, *, name: str | None = None
) -> Iterator[Append]:
    """Yield a function that appends frames (t, *dims) to a movie of ``shape``; the file is whole in the end, or absent.

    Parameters
    ----------
    path : file, or folder for Zarr
    shape : (T, [D,] H, W)
    dtype : type of the pixels
    facts : what is known of the movie, to be written where the format has a place for it
    name : a format of ``FORMATS``, where the suffix does not say which

    Raises
    ------
    PipelineError
        If the suffix names no known format or the format cannot hold the movie, the disk is full or the folder cannot
        be written.
    """
    path = Path(path)
    chosen = FORMATS[format_of(path, name)]
    target = Target(tuple(shape), np.dtype(dtype), facts or FileMetadata())
    if not chosen.compressed:
        require_space(path, target.n_bytes)
    whole = whole_folder if chosen.folder else whole_file
    with whole(path) as temporary, _named(path, temporary, chosen, target) as append:
        yield append


@contextmanager
def _named(path: Path, temporary: Path, chosen: Format, target: Target) -> Iterator[Append]:
    """Open the writer; its complaints name the file that was asked for."""
    try:
        with chosen.writer()(temporary, target) as append:
            yield append
    except PipelineError as error:
        raise PipelineError(str(error).replace(str(temporary), str(path))) from error


def write_movie(
    path: Path | str,
    movie: FrameReader,
    *,
    facts: FileMetadata,
    name: str | None,
    conversion: Conversion,
    progress: Callable[[int, int], None],
) -> None:
    """Write a movie block by block, reading one block ahead; memory does not grow with its length.

    Parameters
    ----------
    path : file to write, or folder for Zarr
    movie : frames on demand
    facts : what is known of the movie
    name : the format, None: by the suffix
    conversion : how pixels are turned into those of the file
    progress : is told the frames done and in all

    Raises
    ------
    PipelineError
        As ``movie_writer``, if a frame cannot be read, or if a value does not fit the file's type.
    """
    bounds = blocks(movie)

    def block(span: tuple[int, int]) -> tuple[int, np.ndarray]:
        return span[1], conversion.apply(movie.read(*span), first=span[0])

    with movie_writer(Path(path), (movie.n_frames, *movie.dims), conversion.dtype, facts, name=name) as append:
        for stop, frames in stream_ordered(block, bounds, 2):
            append(frames)
            progress(stop, movie.n_frames)


def blocks(movie: FrameReader) -> list[tuple[int, int]]:
    """Return (start, stop) of the frames to read together: as many as the movie says, else about 32 MiB."""
    size = int(np.prod(movie.dims, dtype=np.int64)) * max(np.dtype(movie.dtype).itemsize, 4)
    length = int(getattr(movie, "block_frames", 0)) or int(np.clip(BLOCK_BYTES // size, 1, MOST_FRAMES))
    return [(start, min(start + length, movie.n_frames)) for start in range(0, movie.n_frames, length)]
