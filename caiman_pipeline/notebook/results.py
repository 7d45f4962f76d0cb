"""A recording's results as one object: movie, components, traces as data frames, quality, motion, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.sparse import csc_matrix

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.exports.formats import export
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.lazy import Movie, RawFrames
from caiman_pipeline.movies.left_out import REASONS
from caiman_pipeline.movies.modelled import ModelledMovie
from caiman_pipeline.movies.readers.open import RawMovie
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.notebook.movie import open_movie
from caiman_pipeline.notebook.saving import relative_movie
from caiman_pipeline.outcome import Outcome, OutcomeFiles, centroids, component_table, load_outcome
from caiman_pipeline.report.contours import longest_line
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.provenance import environment
from caiman_pipeline.results.records import LONG_TABLES, components_from_result
from caiman_pipeline.stages import place
from caiman_pipeline.summary_images import SummaryImages

TraceKind = Literal[
    "demixed", "denoised", "deconvolved", "fluorescence", "background", "f0", "dff", "dff_denoised", "residual"
]
MovieKind = Literal["corrected", "denoised", "background", "residual", "dff"]
# Where each result lies in a recording's folder.
FILES = {field.name: place(field.name) for field in fields(OutcomeFiles)}
MOVIE = place("movie")


def open_results(folder: Path | str) -> RecordingResults:
    """Open the results of one recording; traces and movie stay on disk until they are asked for.

    Parameters
    ----------
    folder : path
        The recording's folder, like ``results/mouse_a``.

    Returns
    -------
    RecordingResults
        Everything that the workflow found out about the recording.

    Raises
    ------
    PipelineError
        If there is no such folder, a stage up to `select` is not done, or a result is damaged.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> results = cp.open_results("results/mouse_a")
    >>> dff = results.traces("dff")             # a column per accepted cell, seconds down the side
    >>> dff.shape == (results.n_frames, len(results.accepted))
    True
    >>> results.movie[100].shape == results.dims  # reads one frame
    True
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such folder. Give a recording's own, like results/mouse_a.")
    absent = [path for path in FILES.values() if not (folder / path).exists()]
    if len(absent) == len(FILES):
        inside = sorted(p.parent.parent.name for p in folder.glob(f"*/{FILES['movie_info']}"))
        hint = f" It holds the recordings {', '.join(inside)}: give the folder of one." if inside else ""
        raise PipelineError(f"{folder}: no results of a recording.{hint}")
    if absent:
        raise PipelineError(f"{folder}: {absent[0]} is not there (yet). Run the workflow to the end.")
    files = OutcomeFiles(**{name: folder / path for name, path in FILES.items()})
    return RecordingResults(folder, load_outcome(files))


class RecordingResults:
    """What the workflow found out about one recording.

    Components go by their ids, which stay the same through all stages. Tables are data frames, images and footprints
    arrays whose axes are those of a frame (rows, columns; planes first in volumes).

    Parameters
    ----------
    folder : the recording's results
    outcome : all tables, row-aligned

    Attributes
    ----------
    folder : path
    outcome : Outcome
        The records that the stages wrote, for what is not below.
    """

    def __init__(self, folder: Path, outcome: Outcome) -> None:
        self.folder, self.outcome = folder, outcome

    @property
    def name(self) -> str:
        """Id of the recording."""
        return self.outcome.info.recording

    @property
    def frame_rate_hz(self) -> float:
        """Frames (or volumes) per second."""
        return self.outcome.info.frame_rate_hz

    @property
    def dims(self) -> Dims:
        """Size of a frame of the corrected movie, (H, W) or (D, H, W), pixels."""
        return self.outcome.components.dims

    @property
    def n_frames(self) -> int:
        """Frames of the recording, T, with those that are left out."""
        return self.outcome.shifts.n_frames

    @cached_property
    def movie(self) -> Movie:
        """The corrected movie, float32 (T, [D,] H, W), read as it is indexed; frames that are left out are NaN."""
        return open_movie(self.folder / MOVIE)

    @property
    def raw_movie(self) -> Movie:
        """The raw movie, read as the workflow read it, from where the files were."""
        info = self.outcome.info
        paths = [file.path for file in info.files]
        return open_movie(paths, axes=info.axes, dataset=info.dataset, channel=info.channel, planes=info.planes)

    def modelled_movie(self, what: MovieKind = "denoised", ids: Sequence[int] | IntArray | None = None) -> Movie:
        """Return a movie that is made of the corrected one and the model, frame by frame as it is indexed.

        Parameters
        ----------
        what : str
            ``denoised``: footprints x denoised traces; ``background``; ``residual``: the corrected movie less the
            denoised one of all components and the background; ``dff``: the corrected movie relative to the resting
            level of each pixel, see ``relative_movie``, by `traces.dark_level` and `traces.f0_window_s`; ``corrected``.
        ids : sequence of int, optional
            Components that ``denoised`` shows; the accepted ones where nothing is said.

        Returns
        -------
        Movie
            float32 (T, [D,] H, W), in pixel values, ``dff`` without unit. Frames that are left out are NaN.

        Raises
        ------
        PipelineError
            If there is no such movie, or no component of an id.
        """
        if what not in get_args(MovieKind):
            raise PipelineError(f"no movie of kind {what!r}. There are {', '.join(get_args(MovieKind))}.")
        if what == "corrected":
            return self.movie
        if what == "dff":
            own = self.settings["traces"]
            return relative_movie(self.movie, window_s=own["f0_window_s"], dark_level=own["dark_level"])
        rows = self._rows(self.accepted if ids is None else ids)
        made = ModelledMovie(what, open_store(self.folder / MOVIE), self.components, rows)
        return replace(self.movie, frames=RawFrames(RawMovie((made,))))

    @cached_property
    def components(self) -> Components:
        """Footprints, traces, background and noise as the refinement wrote them; what is long stays in its file."""
        result = load_result(self.folder / FILES["components"], "components", stored=LONG_TABLES["components"])
        return components_from_result(result)

    @property
    def ids(self) -> IntArray:
        """Ids of all components, int64 (K,)."""
        return self.outcome.components.ids

    @property
    def accepted(self) -> IntArray:
        """Ids of the accepted components, int64."""
        return self.ids[self.outcome.selection.accepted]

    @property
    def footprints(self) -> csc_matrix:
        """Footprints of all components, sparse float32 (P, K) of unit norm; pixels in C order, columns like ``ids``."""
        return self.outcome.components.footprints

    def footprint(self, component: int) -> FloatArray:
        """Return one footprint as an image.

        Parameters
        ----------
        component : int
            Its id.

        Returns
        -------
        float32 (*dims), of unit norm.

        Raises
        ------
        PipelineError
            If there is no component of that id.
        """
        return self.footprints[:, self._rows([component])[0]].toarray().reshape(self.dims)

    @property
    def centroids(self) -> pd.DataFrame:
        """Centre of mass of each footprint in pixels, columns ``y_px`` and ``x_px`` (``z_px`` first in volumes)."""
        names = [f"{axis}_px" for axis in "zyx"[-len(self.dims) :]]
        return pd.DataFrame(centroids(self.outcome.components), index=self._index(self.ids), columns=names)

    def contours(self, ids: Sequence[int] | IntArray | None = None, *, level: float | None = None) -> dict[int, Any]:
        """Return the outline of each footprint, to be drawn on an image.

        Parameters
        ----------
        ids : sequence of int, optional
            Components; the accepted ones where nothing is said.
        level : float, optional
            Share of the footprint's peak that the outline follows; that of the report where nothing is said.

        Returns
        -------
        dict of id to list of float64 (points, 2)
            Row and column of each point, in pixels counted from the centre of the first. In volumes a dict of plane to
            such an outline.
        """
        level = ReportSettings().contour_level if level is None else level
        wanted = self.accepted if ids is None else np.asarray(ids)
        rows = self._rows(wanted)
        return {int(k): self._outlines(row, level) for k, row in zip(wanted, rows, strict=True)}

    def _outlines(self, row: int, level: float) -> Any:
        part = slice(*self.footprints.indptr[row : row + 2])
        places = np.stack(np.unravel_index(self.footprints.indices[part], self.dims))
        weights = self.footprints.data[part]
        planes = places[0] if len(places) == 3 else np.zeros(len(weights), int)
        found = {}
        for plane in np.unique(planes):
            here = planes == plane
            line = longest_line(places[-2:, here], weights[here], threshold=level * float(weights.max()))
            if line is not None:
                found[int(plane)] = line[:, ::-1]
        return found if len(places) == 3 else list(found.values())

    def traces(self, kind: TraceKind = "demixed", ids: Sequence[int] | IntArray | None = None) -> pd.DataFrame:
        """Return traces, a column for each component and a row for each frame.

        Parameters
        ----------
        kind : str
            ``demixed``: fluorescence of the component alone, noise and all. ``denoised``: its model without noise, and
            ``residual`` what the model leaves of the demixed trace. ``deconvolved``: activity per frame.
            ``fluorescence``: F, with the slow level of the background under the footprint; ``f0``: its resting level;
            ``background``: what lies under the footprint. ``dff``: DF/F, or the kind that `traces.dff_kind` names;
            ``dff_denoised``: the same of the model without noise.
        ids : sequence of int, optional
            Components; the accepted ones where nothing is said.

        Returns
        -------
        pandas.DataFrame
            float32 (T, components). The index ``time_s`` is seconds from the first frame, the columns are ids. Frames
            that are left out are NaN.

        Raises
        ------
        PipelineError
            If there is no such kind, or no component of an id.
        """
        if kind not in get_args(TraceKind):
            raise PipelineError(f"no traces of kind {kind!r}. There are {', '.join(get_args(TraceKind))}.")
        wanted = self.accepted if ids is None else np.asarray(ids, np.int64)
        rows = self._rows(wanted)
        components, traces = self.outcome.components, self.outcome.traces
        values: FloatArray
        if kind == "demixed":
            values = components.denoised[rows] + components.residual[rows]
        elif kind == "residual":
            values = components.residual[rows]
        else:
            values = getattr(traces, kind)[rows]
        time = pd.Index(np.arange(values.shape[1]) / self.outcome.trace_rate_hz, name="time_s")
        return pd.DataFrame(values.T, index=time, columns=self._index(wanted))

    @property
    def table(self) -> pd.DataFrame:
        """All that is known of each component, one row by id: accepted, reason, measures, place, noise, events."""
        facts = RecordingSettings.model_validate(
            {k: v for k, v in self.settings.get("report", {}).get("recording", {}).items() if v is not None}
        )
        return pd.DataFrame(component_table(self.outcome, pixel_um=facts.pixel_um())).set_index("id")

    @property
    def quality(self) -> pd.DataFrame:
        """Measures of quality, one row by id; see the columns of the `evaluate` stage's result."""
        columns = {name: values for name, values in vars(self.outcome.quality).items() if name != "ids"}
        return pd.DataFrame(columns, index=self._index(self.ids))

    @property
    def selection(self) -> pd.DataFrame:
        """Which components are ``accepted``, the ``reason``, and ``by_hand`` (1 kept, 0 left out, -1 not decided)."""
        found = self.outcome.selection
        columns = {"accepted": found.accepted, "reason": list(found.reasons), "by_hand": found.by_hand}
        return pd.DataFrame(columns, index=self._index(self.ids))

    @property
    def shifts(self) -> Shifts:
        """Displacement of the scene in each frame, pixels: of the whole, and at the nodes where it is local."""
        return self.outcome.shifts

    @property
    def motion(self) -> pd.DataFrame:
        """One row per frame by time: displacement in pixels, likeness to the mean before and after, why left out."""
        shifts, measured = self.outcome.shifts, self.outcome.motion
        names = [f"{axis}_px" for axis in "zyx"[-shifts.rigid.shape[1] :]]
        reasons = np.array(["", *REASONS], dtype=object)
        columns = {
            **dict(zip(names, shifts.rigid.T, strict=True)),
            "correlation_before": measured.correlation_before,
            "correlation_after": measured.correlation_after,
            "at_limit": measured.at_limit,
            "unlike": measured.unlike,
            "left_out": reasons[measured.left_out],
        }
        return pd.DataFrame(columns, index=pd.Index(np.arange(self.n_frames) / self.frame_rate_hz, name="time_s"))

    @property
    def images(self) -> SummaryImages:
        """Summary images, float32 (*dims): mean, std, max, correlation, peak_to_noise, noise."""
        return SummaryImages(**self.outcome.images)

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """What the results were made with, by section of the config; facts on the recording are below ``recording``."""
        return self.outcome.settings

    @property
    def provenance(self) -> dict[str, Any]:
        """Raw files with sizes and digests, version and warnings of each stage, and the environment that reads."""
        made_by = {
            stage: {name: entry[name] for name in ("version", "commit", "warnings")}
            for stage, entry in self.outcome.stages.items()
        }
        return {"raw_files": [vars(f) for f in self.outcome.info.files], "stages": made_by, "read_by": environment()}

    def export(self, path: Path | str, format: str, *, everything: bool = False, overwrite: bool = False) -> int:
        """Write components and traces for another tool, and return how many components.

        Parameters
        ----------
        path : path
            File or folder to write.
        format : str
            ``suite2p`` and ``csv`` (folders), ``npz``, ``mat``, ``neurofinder`` (JSON of pixels) or ``imagej`` (ZIP of
            outlines).
        everything, overwrite : bool, optional
            Rejected components too, flagged where the format can; write over what is there.

        Raises
        ------
        PipelineError
            If there is no such format, it cannot hold these components, or the path is taken.
        """
        table = {str(n): np.asarray(column) for n, column in self.table.reset_index().items()}
        return export(path, self.outcome, table, name=format, everything=everything, overwrite=overwrite)

    def _rows(self, ids: Sequence[int] | IntArray) -> IntArray:
        """Return the rows of components, int64.

        Raises
        ------
        PipelineError
            If there is no component of an id.
        """
        rows = {int(k): row for row, k in enumerate(self.ids)}
        if unknown := [int(k) for k in ids if int(k) not in rows]:
            raise PipelineError(f"{self.name}: no component has the id {unknown[0]}. `ids` lists them.")
        return np.array([rows[int(k)] for k in ids], np.int64)

    def _index(self, ids: IntArray) -> pd.Index:
        return pd.Index(ids, name="id")

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.dims))
        return (
            f"Results of {self.name}: {self.n_frames} frames of {size} pixels at {self.frame_rate_hz:g} Hz, "
            f"{len(self.accepted)} of {len(self.ids)} components accepted"
        )
