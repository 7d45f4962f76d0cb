"""Scanbox: raw samples in a ``.sbx`` file, and what they are in the ``.mat`` file beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.readers.choices import Channel
from caiman_pipeline.movies.readers.mapped import Laid, MappedReader

# What `info.channels` means: both photomultipliers, the first (green), the second (red).
CHANNELS = {1: (Channel(1, "green"), Channel(2, "red")), 2: (Channel(1, "green"),), 3: (Channel(2, "red"),)}
DARK = np.uint16(65535)
BIDIRECTIONAL = 0


@dataclass(frozen=True)
class ScanboxHeader:
    """What a recording's ``.mat`` file says.

    Attributes
    ----------
    rows, columns : of a frame
    channels : that were recorded
    planes : positions of the lens that frames go through in turn, 1 without it
    frame_rate_hz : frames per second, None where it is not said
    """

    rows: int
    columns: int
    channels: tuple[Channel, ...]
    planes: int
    frame_rate_hz: float | None


def read_header(path: Path) -> ScanboxHeader:
    """Read the ``.mat`` file beside a ``.sbx`` file.

    Raises
    ------
    PipelineError
        If it is not there, cannot be read, or says nothing of the frames.
    """
    from scipy.io import loadmat

    beside = path.with_suffix(".mat")
    if not beside.exists():
        raise PipelineError(f"{path}: the file {beside.name} that says how large its frames are is not beside it.")
    try:
        info = loadmat(beside, struct_as_record=False, squeeze_me=True, variable_names=["info"])["info"]
        rows, columns = (int(n) for n in info.sz)
        channels = CHANNELS[int(info.channels)]
        return ScanboxHeader(rows, columns, channels, _planes(info), _rate(info, rows))
    except Exception as error:  # scipy meets damage in many ways
        raise PipelineError(f"{beside}: not a readable header of Scanbox ({error}). Copy it again.") from error


def _planes(info: Any) -> int:
    on = getattr(info, "volscan", None)
    places = np.size(getattr(info, "otwave", ()))
    return max(1, places) if on is None or int(on) > 0 else 1


def _rate(info: Any, rows: int) -> float | None:
    """Return lines per second, twice as many where both ways of the mirror are used, over the lines of a frame."""
    lines, mode = getattr(info, "resfreq", None), getattr(info, "scanmode", None)
    if lines is None or mode is None or int(getattr(info, "fold_lines", 0) or 0):
        return None
    rate = float(lines) * (2 if int(mode) == BIDIRECTIONAL else 1) / rows
    return float(f"{rate:.6g}") if rate > 0 else None


class ScanboxReader:
    """Frames of a ``.sbx`` file, uint16: Scanbox stores 65535 for no light."""

    def __init__(self, path: Path, reading: Reading) -> None:
        header = read_header(path)
        frame_bytes = 2 * header.rows * header.columns * len(header.channels)
        n_frames, rest = divmod(path.stat().st_size, frame_bytes)
        if rest:
            raise PipelineError(
                f"{path}: {path.stat().st_size} bytes are no whole number of frames of {header.rows} x "
                f"{header.columns} pixels and {len(header.channels)} channels, as {path.stem}.mat says: cut short? "
                "Copy both files again from their source."
            )
        if header.planes > 1 and reading.axes is None:
            raise PipelineError(
                f"{path}: frames go through {header.planes} planes in turn, as {path.stem}.mat says. State so in the "
                f"sheet's `axes` column: TZ{header.planes}YXC."
            )
        shape = (n_frames, header.rows, header.columns, len(header.channels))
        laid = Laid(shape, np.dtype("<u2"), axes=None if header.planes > 1 else "TYXC")
        self._raw = MappedReader(path, laid, reading, channels=header.channels)
        self.n_frames, self.dims, self.dtype, self.notes = (
            self._raw.n_frames,
            self._raw.dims,
            self._raw.dtype,
            self._raw.notes,
        )

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        return DARK - self._raw.read(start, stop)
