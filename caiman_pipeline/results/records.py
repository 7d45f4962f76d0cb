"""Typed records to and from result files, one pair of functions for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.background import background_from_arrays
from caiman_pipeline.model.components import Candidates, Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import MotionMeasures, Shifts
from caiman_pipeline.model.movie import MovieInfo, SourceFile
from caiman_pipeline.model.quality import Quality
from caiman_pipeline.model.traces import Traces
from caiman_pipeline.movies.left_out import REASONS
from caiman_pipeline.results.atomic import write_text
from caiman_pipeline.results.files import Result
from caiman_pipeline.results.provenance import describe, note_raw, note_result, text_digest
from caiman_pipeline.results.schema import made_anew, of_another_form, writer

# Form of ``movie_info.json``; others are refused, with what to rerun.
INFO_SCHEMA = 1


def save_movie_info(path: Path | str, info: MovieInfo) -> None:
    """Write what ``inspect`` found as JSON.

    Parameters
    ----------
    path : path
        The file to make.
    info : MovieInfo
        What was found.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.
    """
    note_raw(info.files)
    record = {"schema": INFO_SCHEMA, **asdict(info)}
    write_text(
        path, json.dumps({**record, "digest": text_digest(record), "provenance": describe(Path(path))}, indent=1)
    )


def load_movie_info(path: Path | str) -> MovieInfo:
    """Read what ``inspect`` found.

    Parameters
    ----------
    path : path
        ``movie_info.json``.

    Returns
    -------
    MovieInfo
        What was found.

    Raises
    ------
    PipelineError
        If the file is missing, damaged or of another schema.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        schema, provenance, digest = record.pop("schema"), record.pop("provenance", {}), record.pop("digest", "")
        if schema != INFO_SCHEMA:
            raise of_another_form(path, found=schema, reads=INFO_SCHEMA, version=writer(provenance), stage="inspect")
        files = tuple(SourceFile(**f) for f in record.pop("files"))
        note_result(Path(path), digest, provenance)
        note_raw(files)
        for name in ("dims", "bad_frames", "warnings"):
            record[name] = tuple(record[name])
        record["border_px"] = tuple(tuple(b) for b in record["border_px"])
        return MovieInfo(files=files, **record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(f"{path}: not a readable inspection ({error}). {made_anew('inspect')}") from error


def components_to_arrays(components: Components) -> dict[str, Any]:
    """Flatten components for ``save_result``.

    Parameters
    ----------
    components : Components
        Of a recording.

    Returns
    -------
    dict
        Arrays by name.
    """
    return {
        "dims": np.array(components.dims),
        "ids": components.ids,
        "footprints": components.footprints,
        "denoised": components.denoised,
        "residual": components.residual,
        "noise": components.noise,
        "frames_per_bin": components.frames_per_bin,
        **components.background.arrays(),
    }


# What grows with frames times components, or frames times field of view: readers may leave it in its file.
LONG_TABLES = {
    "components": ("denoised", "residual", "background_temporal"),
    "traces": ("denoised", "deconvolved", "fluorescence", "background", "f0", "dff", "dff_denoised"),
    "motion": ("field",),
}


def components_from_result(result: Result | Mapping[str, Any]) -> Components:
    """Rebuild components from a loaded result; with its background's signals skipped, the background is static.

    Parameters
    ----------
    result : Result or dict
        What ``components_to_arrays`` made, read from a file.

    Returns
    -------
    Components
        Of a recording; traces may stay in the file.
    """
    arrays = result.arrays if isinstance(result, Result) else result
    background = background_from_arrays(arrays, result["denoised"].shape[1])
    return Components(
        dims=tuple(int(n) for n in result["dims"]),
        ids=result["ids"],
        footprints=result["footprints"],
        denoised=result["denoised"],
        residual=result["residual"],
        background=background,
        noise=result["noise"],
        frames_per_bin=int(result["frames_per_bin"]),
    )


def candidates_to_arrays(candidates: Candidates) -> dict[str, Any]:
    """Flatten candidates for ``save_result``.

    Parameters
    ----------
    candidates : Candidates
        What a search found.

    Returns
    -------
    dict
        Arrays by name.
    """
    return {**vars(candidates), "dims": np.array(candidates.dims)}


def candidates_from_result(result: Result) -> Candidates:
    """Rebuild candidates from a loaded result.

    Parameters
    ----------
    result : Result
        What ``candidates_to_arrays`` made, read from a file.

    Returns
    -------
    Candidates
        What a search found.
    """
    return Candidates(
        dims=tuple(int(n) for n in result["dims"]),
        footprints=result["footprints"],
        traces=result["traces"],
        tiles=result["tiles"],
        depth=result["depth"],
        frames_per_bin=int(result["frames_per_bin"]),
        seeds=result["seeds"],
        shapeless=bool(result["shapeless"]),
    )


def shifts_to_arrays(shifts: Shifts) -> dict[str, Any]:
    """Flatten shifts for ``save_result``; without a field only ``rigid`` is kept.

    Parameters
    ----------
    shifts : Shifts
        Displacement of the scene, pixels.

    Returns
    -------
    dict
        Arrays by name: ``rigid``, ``field``, ``grid_0`` and so on.
    """
    arrays: dict[str, Any] = {"rigid": shifts.rigid}
    if shifts.field is not None:
        arrays["field"] = shifts.field
        arrays.update({f"grid_{axis}": points for axis, points in enumerate(shifts.grid)})
    return arrays


def shifts_from_result(result: Result) -> Shifts:
    """Rebuild shifts from a loaded result.

    Parameters
    ----------
    result : Result
        What ``shifts_to_arrays`` made, read from a file.

    Returns
    -------
    Shifts
        Displacement of the scene, pixels; its field may stay in the file.
    """
    if "field" not in result.arrays:
        return Shifts(result["rigid"])
    ndim = result["rigid"].shape[1]
    return Shifts(result["rigid"], result["field"], tuple(result[f"grid_{axis}"] for axis in range(ndim)))


def motion_to_arrays(shifts: Shifts, measures: MotionMeasures) -> dict[str, Any]:
    """Flatten what motion correction found, with the names of the codes in ``left_out``, for ``save_result``."""
    return {**shifts_to_arrays(shifts), **vars(measures), "left_out_reasons": REASONS}


def measures_from_result(result: Result) -> MotionMeasures:
    """Rebuild what motion correction measured from a loaded result.

    Raises
    ------
    PipelineError
        If it was written by a version that measured less.
    """
    return MotionMeasures(**{field.name: result[field.name] for field in fields(MotionMeasures)})


def traces_to_arrays(traces: Traces) -> dict[str, Any]:
    """Flatten traces for ``save_result``.

    Parameters
    ----------
    traces : Traces
        Of K components.

    Returns
    -------
    dict
        Arrays by name.
    """
    return dict(vars(traces))


def traces_from_result(result: Result) -> Traces:
    """Rebuild traces from a loaded result.

    Parameters
    ----------
    result : Result
        What ``traces_to_arrays`` made, read from a file.

    Returns
    -------
    Traces
        Of K components; long tables may stay in the file.

    Raises
    ------
    PipelineError
        If it was written by a version whose traces held something else.
    """
    return Traces(**result.exactly(Traces))


def quality_to_arrays(quality: Quality) -> dict[str, Any]:
    """Flatten quality measures for ``save_result``.

    Parameters
    ----------
    quality : Quality
        Of K components.

    Returns
    -------
    dict
        Arrays by name.
    """
    return dict(vars(quality))


def quality_from_result(result: Result) -> Quality:
    """Rebuild quality measures from a loaded result.

    Parameters
    ----------
    result : Result
        What ``quality_to_arrays`` made, read from a file.

    Returns
    -------
    Quality
        Of K components.

    Raises
    ------
    PipelineError
        If it was written by a version that measured something else.
    """
    return Quality(**result.exactly(Quality))
