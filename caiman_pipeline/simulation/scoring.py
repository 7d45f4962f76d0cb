"""Compare what the workflow found with the truth of a simulated recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import scipy.ndimage as ndi
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.results.files import Result, load_result
from caiman_pipeline.simulation.masks import binarise, match_masks
from caiman_pipeline.stages import path_of

# Where an NWB file keeps what was found.
OPHYS = "processing/ophys"
SERIES = {
    "raw": "Fluorescence/RoiResponseSeries",
    "demixed": "Fluorescence/Demixed",
    "denoised": "Fluorescence/Denoised",
    "deconvolved": "Fluorescence/Deconvolved",
    "dff": "DfOverF/RoiResponseSeries",
    "dff_denoised": "DfOverF/DfOverFDenoised",
}


@dataclass(frozen=True)
class Extracted:
    """Components of a result.

    Attributes
    ----------
    footprints : sparse (P, K), pixels in C order
    accepted : bool (K,)
    traces : float (K, T) by name, out of those of ``SERIES``
    rigid : (T, ndim) displacement of the scene in pixels, or None where the result does not hold it
    """

    dims: Dims
    footprints: csc_matrix
    accepted: BoolArray
    traces: dict[str, FloatArray]
    rigid: FloatArray | None

    def only_accepted(self) -> Extracted:
        """Return the accepted components."""
        rows = np.flatnonzero(self.accepted)
        traces = {name: values[rows] for name, values in self.traces.items()}
        return replace(self, footprints=self.footprints[:, rows], accepted=self.accepted[rows], traces=traces)


@dataclass(frozen=True)
class Score:
    """How well a result agrees with the truth.

    Attributes
    ----------
    found : components that count: those that are true or false
    faint : components found that are neither, but cells that a volume shows barely
    iou : mean intersection over union of the pairs, NaN without any
    pairs : int (matched, 2), index of the component found and of the true one
    correlations : (median, 10th percentile) over pairs of the correlation with the truth, by trace
    rigid_rms_px : root mean square error of the rigid displacement, a constant offset apart; None where not known
    """

    found: int
    faint: int
    true: int
    pairs: IntArray
    iou: float
    correlations: dict[str, tuple[float, float]]
    rigid_rms_px: float | None

    @property
    def matched(self) -> int:
        """Pairs of a component found and a true one."""
        return len(self.pairs)

    @property
    def precision(self) -> float:
        """Share of what was found that is true; 0 where nothing was found."""
        return self.matched / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Share of what is true that was found; 0 where nothing is true."""
        return self.matched / max(self.true, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.matched / max(self.found + self.true, 1)


@dataclass(frozen=True)
class Rule:
    """What counts as a match.

    Attributes
    ----------
    found_level, true_level : share of a footprint's peak above which a pixel belongs to it
    min_iou : smallest intersection over union of a pair
    smooth_s : standard deviation of the Gaussian that smooths spikes and deconvolved traces before they are compared
    """

    found_level: float = 0.3
    true_level: float = 0.15
    min_iou: float = 0.4
    smooth_s: float = 0.07


def score_result(found: Extracted, truth: Result, rule: Rule) -> Score:
    """Pair the components found with the true ones, and compare the traces of the pairs.

    Parameters
    ----------
    found : Extracted
        What a workflow found.
    truth : Result
        Of kind ``truth``, as the simulator writes it.
    rule : Rule
        What counts as a match.

    Returns
    -------
    Score
        Precision, recall, overlap, and correlations of the traces of pairs.

    Raises
    ------
    PipelineError
        If frames or traces are of another size than the truth's.
    """
    dims = tuple(int(n) for n in truth["dims"])
    if found.dims != dims:
        raise PipelineError(f"the result has frames of {found.dims}, the truth of {dims}. Are they of one recording?")
    masks = binarise(found.footprints, dims, level=rule.found_level)
    true_masks = binarise(truth["footprints"], dims, level=rule.true_level)
    pairs, iou = match_masks(masks, true_masks, min_iou=rule.min_iou)
    others = np.setdiff1d(np.arange(masks.shape[1]), pairs[:, 0])
    faint = _count_faint(masks[:, others], dims, truth, rule)
    sigma = rule.smooth_s * float(truth["frame_rate_hz"])
    return Score(
        found=masks.shape[1] - faint,
        faint=faint,
        true=true_masks.shape[1],
        pairs=pairs,
        iou=float(iou.mean()) if len(iou) else float("nan"),
        correlations=_compare_traces(found.traces, truth, pairs, sigma),
        rigid_rms_px=None if found.rigid is None else rigid_error(found.rigid, truth["rigid"]),
    )


def _count_faint(others: csc_matrix, dims: Dims, truth: Result, rule: Rule) -> int:
    """Count components without a true partner that are cells which a volume shows barely: neither wanted nor false."""
    if "faint" not in truth:
        return 0
    masks = binarise(truth["faint"], dims, level=rule.true_level)
    return len(match_masks(others, masks, min_iou=rule.min_iou)[0])


def _compare_traces(
    traces: Mapping[str, FloatArray], truth: Result, pairs: IntArray, sigma: float
) -> dict[str, tuple[float, float]]:
    found = {}
    for name, values in traces.items():
        reference = _at_rate_of(values, truth["spikes" if name == "deconvolved" else "calcium"])
        width = sigma * values.shape[1] / truth["calcium"].shape[1] if name == "deconvolved" else 0.0
        r = [correlation(values[i], reference[j], sigma_frames=width) for i, j in pairs]
        r = [v for v in r if np.isfinite(v)]
        if r:
            found[name] = (float(np.median(r)), float(np.percentile(r, 10)))
    return found


def _at_rate_of(values: FloatArray, truth: FloatArray) -> FloatArray:
    """Average the truth over as many frames as the traces were binned by."""
    n_found, n_true = values.shape[1], truth.shape[1]
    per_bin = round(n_true / n_found) if n_found else 0
    if per_bin < 1 or n_true // per_bin != n_found:
        raise PipelineError(
            f"the result has traces of {n_found} frames, the truth of {n_true}. Are they of one recording?"
        )
    return truth[:, : n_found * per_bin].reshape(len(truth), n_found, per_bin).mean(axis=2)


def correlation(a: FloatArray, b: FloatArray, *, sigma_frames: float) -> float:
    """Return Pearson's correlation where both are finite, both smoothed first; NaN if one is constant.

    Parameters
    ----------
    a : float (T,)
        A trace, any unit; samples that are not finite are left out.
    b : float (T,)
        Another one.
    sigma_frames : float
        Standard deviation of the smoothing, frames; 0 for none.

    Returns
    -------
    float
        Correlation, -1 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> round(correlation(np.array([1.0, 2, np.nan, 4]), np.array([2.0, 4, 0, 8]), sigma_frames=0.0), 6)
    1.0
    """
    kept = np.isfinite(a) & np.isfinite(b)
    a, b = (x[kept].astype(np.float64) for x in (a, b))
    if sigma_frames > 0:
        a, b = (ndi.gaussian_filter1d(x, sigma_frames) for x in (a, b))
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def rigid_error(found: FloatArray, true: FloatArray) -> float:
    """Return the root mean square error of shifts; the choice of template (a constant) is no error.

    Parameters
    ----------
    found : float (T, ndim)
        Displacement that was found, pixels.
    true : float (T, ndim)
        True displacement, pixels.

    Returns
    -------
    float
        Error, pixels.

    Raises
    ------
    PipelineError
        If they are of another number of frames or axes.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[0.0, 1.0], [2.0, -1.0]])
    >>> rigid_error(true + 5.0, true)
    0.0
    """
    if found.shape != true.shape:
        raise PipelineError(
            f"the result has shifts of {found.shape}, the truth of {true.shape}. Are they of one recording?"
        )
    error = found.astype(np.float64) - true
    return float(np.sqrt(((error - error.mean(axis=0)) ** 2).mean()))


def read_found(path: Path | str) -> Extracted:
    """Read the components of a result.

    Parameters
    ----------
    path : path
        An NWB file as ``export_nwb`` writes it, a recording's results folder, or a ``components.h5`` alone, of which
        every component counts as accepted.

    Returns
    -------
    Extracted
        Footprints, traces and shifts.

    Raises
    ------
    PipelineError
        If there is no such result or it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix == ".h5":
        return _found_in(load_result(path, "components"))
    try:
        with h5py.File(path, "r") as file:
            return _read_nwb(file)
    except (OSError, KeyError) as error:
        raise PipelineError(
            f"{path}: not an NWB file that the workflow wrote ({error}). Give one, or a recording's results folder."
        ) from error


def _read_nwb(file: h5py.File) -> Extracted:
    ophys = file[OPHYS]
    table = ophys["ImageSegmentation/PlaneSegmentation"]
    masks = table["image_mask"]
    dims = tuple(int(n) for n in masks.shape[:0:-1])
    columns, counts = [], [0]
    values = []
    for k in range(masks.shape[0]):
        mask = masks[k].T.ravel()
        columns.append(np.flatnonzero(mask))
        values.append(mask[columns[-1]])
        counts.append(len(columns[-1]))
    rows = np.concatenate([np.empty(0, np.int64), *columns])
    weights = np.concatenate([np.empty(0, np.float32), *values])
    return Extracted(
        dims=dims,
        footprints=csc_matrix((weights, rows, np.cumsum(counts)), shape=(int(np.prod(dims)), masks.shape[0])),
        accepted=np.asarray(table["Accepted"][()], bool),
        traces={name: ophys[f"{place}/data"][()].T for name, place in SERIES.items() if place in ophys},
        rigid=ophys["MotionShifts/data"][()][:, ::-1] if "MotionShifts" in ophys else None,
    )


def _found_in(components: Result) -> Extracted:
    denoised = components["denoised"]
    return Extracted(
        dims=tuple(int(n) for n in components["dims"]),
        footprints=components["footprints"],
        accepted=np.ones(len(components["ids"]), bool),
        traces={"demixed": denoised + components["residual"], "denoised": denoised},
        rigid=None,
    )


def _read_folder(folder: Path) -> Extracted:
    components = load_result(path_of(folder, "components"), "components")
    selection = load_result(path_of(folder, "selection"), "selection")
    traces = load_result(path_of(folder, "traces"), "traces")
    motion = load_result(path_of(folder, "motion"), "motion")
    for name, table in (("selection", selection), ("traces", traces)):
        if not np.array_equal(table["ids"], components["ids"]):
            raise PipelineError(
                f"{folder}: the components' ids and those of the {name} differ. Run the workflow again."
            )
    found = _found_in(components)
    results = {name: traces[name] for name in ("denoised", "deconvolved", "dff", "dff_denoised")}
    results["raw"] = traces["fluorescence"]
    accepted = np.asarray(selection["accepted"], bool)
    return replace(found, accepted=accepted, traces={**found.traces, **results}, rigid=motion["rigid"])
