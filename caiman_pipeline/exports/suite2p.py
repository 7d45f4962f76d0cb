"""A folder like suite2p's: what its GUI opens, and what others read of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.exports.formats import Exported
from caiman_pipeline.model.arrays import AnyArray, FloatArray

PLANE = "plane0"
# F is all light under a footprint, Fneu what of it is not the cell's: their difference is the demixed trace.
NEUROPIL_SHARE = 1.0
# Radius of a disc of as many pixels, over which suite2p compares how far pixels spread.
SMALLEST = 1e-6


def write_suite2p(folder: Path, what: Exported) -> None:
    """Write ``plane0`` with stat, ops, F, Fneu, spks and iscell, as suite2p does.

    Notes
    -----
    ``stat.npy`` and ``ops.npy`` are pickled there, so they are here; nothing here reads them. Frames that are left out
    are NaN in F, Fneu and spks.
    """
    what.require_plane("suite2p's folder")
    place = folder / PLANE
    place.mkdir()
    traces = what.traces()
    fluorescence = traces["demixed"] + traces["background"]
    stat = np.empty(len(fluorescence), object)
    stat[:] = [_region(what, row, traces["demixed"][row]) for row in range(len(stat))]
    scores = np.asarray(what.table.get("soma_score", what.table["accepted"]), np.float32)
    iscell = np.stack([what.table["accepted"].astype(np.float32), scores], axis=1)
    arrays = {"F": fluorescence, "Fneu": traces["background"], "spks": traces["deconvolved"], "iscell": iscell}
    for name, array in {**arrays, "stat": stat, "ops": np.array(_ops(what))}.items():
        np.save(place / f"{name}.npy", array.astype(np.float32) if name in arrays else array)


def _region(what: Exported, row: int, trace: FloatArray) -> dict[str, Any]:
    (rows, columns), weights = what.pixels(row)
    n_pixels = len(weights)
    middle = [float(np.median(rows)), float(np.median(columns))] if n_pixels else [0.0, 0.0]
    spread = np.sqrt(np.linalg.eigvalsh(_covariance(rows, columns)))[::-1] if n_pixels > 1 else np.ones(2)
    values = trace[np.isfinite(trace)]
    deviation = float(values.std()) if len(values) else 0.0
    cube = float(np.mean((values - values.mean()) ** 3)) if len(values) else 0.0
    return {
        "ypix": rows.astype(np.int64),
        "xpix": columns.astype(np.int64),
        "lam": weights.astype(np.float32),
        "npix": n_pixels,
        "npix_norm": 1.0,
        "npix_soma": n_pixels,
        "soma_crop": np.ones(n_pixels, bool),
        "med": middle,
        "radius": float(max(2 * spread[0], 1.0)),
        "aspect_ratio": float(2 * spread[0] / (spread[0] + spread[1] + SMALLEST)),
        "compact": _compactness(rows, columns),
        "footprint": 1.0,
        "overlap": _shared(what, row),
        "mrs": float(np.hypot(rows - middle[0], columns - middle[1]).mean()) if n_pixels else 0.0,
        "skew": cube / deviation**3 if deviation else 0.0,
        "std": deviation,
        "id": int(what.outcome.components.ids[row]),
    }


def _covariance(rows: AnyArray, columns: AnyArray) -> FloatArray:
    return np.cov(np.stack([rows, columns])) + SMALLEST * np.eye(2)


def _compactness(rows: AnyArray, columns: AnyArray) -> float:
    """Return the mean distance of pixels from their middle over that of a disc of as many, at least 1."""
    if len(rows) < 2:
        return 1.0
    distance = np.hypot(rows - np.median(rows), columns - np.median(columns)).mean()
    return float(max(1.0, distance / (2 / 3 * np.sqrt(len(rows) / np.pi))))


def _shared(what: Exported, row: int) -> AnyArray:
    """Return which pixels of a component others have too."""
    footprints = what.outcome.components.footprints
    places = np.sort(footprints.indices[slice(*footprints.indptr[row : row + 2])])
    return np.bincount(footprints.indices, minlength=footprints.shape[0])[places] > 1


def _ops(what: Exported) -> dict[str, Any]:
    outcome = what.outcome
    height, width = outcome.components.dims
    shifts = np.rint(outcome.shifts.rigid)
    return {
        "Ly": height,
        "Lx": width,
        "yrange": [0, height],
        "xrange": [0, width],
        "nframes": outcome.traces.deconvolved.shape[1],
        "fs": float(outcome.trace_rate_hz),
        "nplanes": 1,
        "nchannels": 1,
        "functional_chan": 1,
        "neucoeff": NEUROPIL_SHARE,
        "tau": float(outcome.settings.get("traces", {}).get("recording", {}).get("decay_time_s") or np.nan),
        "meanImg": outcome.images["mean"],
        "max_proj": outcome.images["max"],
        "Vcorr": outcome.images["correlation"],
        "meanImgE": outcome.images["mean"],
        "yoff": shifts[:, 0].astype(np.int32),
        "xoff": shifts[:, 1].astype(np.int32),
        "save_path": "",
        "save_path0": "",
        "fast_disk": "",
        "filelist": [f.path for f in outcome.info.files],
        "nonrigid": outcome.shifts.field is not None,
        "date_proc": "",
        "suite2p_version": "",
    }
