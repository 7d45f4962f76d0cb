"""What the stages found out about one recording, read together, aligned, and laid out as one table of components."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import AnyArray, FloatArray, IntArray
from caiman_pipeline.model.background import BACKGROUND_SIGNALS
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import MotionMeasures, Shifts
from caiman_pipeline.model.movie import MovieInfo
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.model.traces import Traces
from caiman_pipeline.quality.accept import Selection
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.provenance import joined_stages
from caiman_pipeline.results.records import (
    LONG_TABLES,
    components_from_result,
    load_movie_info,
    measures_from_result,
    quality_from_result,
    shifts_from_result,
    traces_from_result,
)

# Components that a message names.
MOST_NAMED = 10


@dataclass(frozen=True)
class Outcome:
    """Results of one recording, every table row-aligned with ``components.ids``.

    Attributes
    ----------
    images : summary images by name, float32 of shape ``dims``
    motion : what the motion stage measured besides the shifts
    stages : what each stage ran with: `section`, `settings`, `version`, `commit`, `warnings`
    """

    info: MovieInfo
    shifts: Shifts
    motion: MotionMeasures
    images: dict[str, FloatArray]
    components: Components
    traces: Traces
    quality: Quality
    selection: Selection
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("traces", "quality", "selection"):
            if not np.array_equal(getattr(self, name).ids, self.components.ids):
                raise PipelineError(
                    f"{self.info.recording}: the components' ids and those of the {name} differ. "
                    "Delete the recording's results from `refine` on and run again."
                )

    @property
    def n_accepted(self) -> int:
        """Number of accepted components."""
        return int(self.selection.accepted.sum())

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings that the results were made with, by section of the config, facts on the recording in `recording`."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.stages.values():
            section = found.setdefault(entry["section"], {})
            facts = {**section.get("recording", {}), **entry["settings"].get("recording", {})}
            section |= {**entry["settings"], "recording": facts}
        return found

    @property
    def trace_rate_hz(self) -> float:
        """Samples of a trace per second."""
        return self.info.frame_rate_hz / self.components.frames_per_bin


@dataclass(frozen=True)
class OutcomeFiles:
    """Paths of the results that make up an outcome."""

    movie_info: Path
    motion: Path
    images: Path
    components: Path
    traces: Path
    quality: Path
    selection: Path


def load_outcome(files: OutcomeFiles) -> Outcome:
    """Read one recording's results.

    Parameters
    ----------
    files : OutcomeFiles
        Paths of the results.

    Returns
    -------
    Outcome
        All of them; what has a value for each frame stays in its file.

    Raises
    ------
    PipelineError
        If a file is missing, damaged or of another kind, or if tables do not have the same components.
    """
    kinds = ("motion", "images", "components", "traces", "quality", "selection")
    results = {
        kind: load_result(getattr(files, kind), kind, skip=BACKGROUND_SIGNALS, stored=LONG_TABLES.get(kind, ()))
        for kind in kinds
    }
    motion, selection = results["motion"], results["selection"]
    return Outcome(
        info=load_movie_info(files.movie_info),
        shifts=shifts_from_result(motion),
        motion=measures_from_result(motion),
        images=results["images"].arrays,
        components=components_from_result(results["components"]),
        traces=traces_from_result(results["traces"]),
        quality=quality_from_result(results["quality"]),
        selection=Selection(**{**selection.exactly(Selection), "accepted": np.asarray(selection["accepted"], bool)}),
        stages=reduce(joined_stages, (result.stages for result in results.values()), {}),
    )


def keep_accepted(outcome: Outcome) -> Outcome:
    """Return the outcome without its rejected components.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    Outcome
        Tables have rows of accepted components alone.
    """
    rows = np.flatnonzero(outcome.selection.accepted)
    return replace(
        outcome,
        components=replace(
            outcome.components,
            ids=outcome.components.ids[rows],
            footprints=outcome.components.footprints[:, rows],
            denoised=outcome.components.denoised.take(rows, axis=0),
            residual=outcome.components.residual.take(rows, axis=0),
        ),
        traces=_take(outcome.traces, rows),
        quality=_take(outcome.quality, rows),
        selection=_take(outcome.selection, rows),
    )


def _take(table: Any, rows: IntArray) -> Any:
    columns = {n: v for n, v in vars(table).items() if v is not None and not isinstance(v, str)}
    taken = {n: tuple(v[i] for i in rows) if isinstance(v, tuple) else v.take(rows, axis=0) for n, v in columns.items()}
    return replace(table, **taken)


def centroids(components: Components) -> FloatArray:
    """Return each footprint's centre of mass.

    Parameters
    ----------
    components : Components
        K of them.

    Returns
    -------
    float32 (K, ndim)
        Pixels, axes ordered like ``dims``; NaN for an empty footprint.
    """
    footprints, n_components = components.footprints.tocsc(), components.n_components
    column = np.repeat(np.arange(n_components), np.diff(footprints.indptr))
    mass = np.bincount(column, footprints.data, n_components)
    moments = [
        np.bincount(column, footprints.data * place, n_components)
        for place in np.unravel_index(footprints.indices, components.dims)
    ]
    total = np.where(mass > 0, mass, np.nan)
    return np.stack([moment / total for moment in moments], axis=1).astype(np.float32)


def missing_dff(outcome: Outcome) -> list[str]:
    """Say which accepted components have no DF/F, or none in some of their frames, for want of a valid F0.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    list of str
        Sentences, or none.
    """
    traces = outcome.traces
    groups: dict[str, list[int]] = {"no DF/F": [], "no DF/F in some frames": []}
    for k in np.flatnonzero(outcome.selection.accepted):
        if "f0_invalid" in traces.flags[k].split():
            what = "no DF/F in some frames" if np.isfinite(traces.dff[k]).any() else "no DF/F"
            groups[what].append(int(outcome.components.ids[k]))
    advice = (
        "F0 is not above the noise of one frame there: is `traces.dark_level` too high? "
        "`traces.dff_kind: detrended` needs no F0."
    )
    return [
        f"accepted cells with {what}: {len(ids)} (id {', '.join(map(str, ids[:MOST_NAMED]))}"
        f"{', ...' * (len(ids) > MOST_NAMED)}). {advice}"
        for what, ids in groups.items()
        if ids
    ]


def component_table(outcome: Outcome, *, pixel_um: tuple[float, ...] | None) -> dict[str, AnyArray]:
    """Lay out what is known of each component, one column per name and one row per component.

    Soma scores are left out where the classifier was not run. Centroids come in the order x, y[, z], in pixels counted
    from the centre of the first one, and in micrometres where the pixel's size (row, column or plane, row, column) is
    known.

    Parameters
    ----------
    outcome : Outcome
        Of a recording, K components.
    pixel_um : tuple of float, or None
        Size of a pixel along [planes,] rows and columns, um.

    Returns
    -------
    dict of arrays (K,)
        Columns by name; units are part of the names.
    """
    selection, quality, traces = outcome.selection, outcome.quality, outcome.traces
    columns: dict[str, AnyArray] = {
        "id": np.asarray(outcome.components.ids, np.int64),
        "accepted": selection.accepted,
        "reason": np.array(selection.reasons, dtype=object),
        "snr": quality.snr,
        "r_value": quality.r_value,
        **_where_scored("soma_score", quality.soma_score),
        **_where_scored("probability", quality.probability),
        "size_px": quality.size_px,
        "elongation": quality.elongation,
        "border_share": quality.border_share,
        "saturated_share": quality.saturated_share,
        "likeness": quality.likeness,
        "nesting": quality.nesting,
        "motion_share": quality.motion_share,
    }
    centre = centroids(outcome.components)[:, ::-1]
    for axis, values in zip("xyz", centre.T, strict=False):
        columns[f"{axis}_px"] = values
    if pixel_um is not None and len(pixel_um) == centre.shape[1]:
        for axis, values, size in zip("xyz", centre.T, pixel_um[::-1], strict=False):
            columns[f"{axis}_um"] = values * np.float32(size)
    columns["baseline"] = traces.baseline
    columns["noise"] = traces.noise
    columns["neighbours_light"] = traces.neighbours_light
    columns["own_decay_s"] = traces.own_decay_s
    columns["events_per_min"] = traces.event_rate_hz * np.float32(60)
    columns["flags"] = np.array(traces.flags, dtype=object)
    return columns


def _where_scored(name: str, scores: FloatArray) -> dict[str, FloatArray]:
    """Return the column, or none of components that the classifier was not asked about."""
    return {name: scores} if not len(scores) or np.isfinite(scores).any() else {}
