"""Components and traces as plain tables and arrays: CSV, NumPy archives, MATLAB."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from caiman_pipeline.exports.formats import Exported
from caiman_pipeline.model.errors import PipelineError

# MATLAB's older files count the bytes of an array in 31 bits.
MATLAB_BYTES = 2**31 - 1


def write_csv(folder: Path, what: Exported) -> None:
    """Write ``components.csv``, a row per component, and a file per kind of trace, a row per frame."""
    pd.DataFrame(what.table).to_csv(folder / "components.csv", index=False)
    ids = what.outcome.components.ids
    for kind, values in what.traces().items():
        time = pd.Index(np.arange(values.shape[1]) / what.outcome.trace_rate_hz, name="time_s")
        pd.DataFrame(values.T, index=time, columns=ids).to_csv(folder / f"{kind}.csv")


def write_npz(path: Path, what: Exported) -> None:
    """Write one archive; footprints are the parts of a sparse matrix (pixels, components), pixels in C order."""
    footprints = what.outcome.components.footprints.tocsc()
    parts = {f"footprints_{n}": np.asarray(getattr(footprints, n)) for n in ("data", "indices", "indptr", "shape")}
    arrays = {**_facts(what), **parts, **what.traces(), **_columns(what)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, array in arrays.items():
            # A date would make two archives of the same results differ.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def write_mat(path: Path, what: Exported) -> None:
    """Write a MATLAB file; footprints ``A`` are sparse, with pixels counted down the columns as MATLAB does.

    Raises
    ------
    PipelineError
        If a table is larger than MATLAB's files of version 5 hold.
    """
    from scipy.io import savemat

    traces = what.traces()
    largest = max(traces.values(), key=lambda values: values.nbytes)
    if largest.nbytes > MATLAB_BYTES:
        raise PipelineError(
            f"{what.name}: traces of {largest.nbytes / 1e9:.1f} GB do not fit a MATLAB file. Export `npz`, or read the "
            "NWB file with MatNWB."
        )
    dims = what.outcome.components.dims
    order = np.arange(np.prod(dims)).reshape(dims).ravel(order="F")
    matrix = what.outcome.components.footprints.tocsr()[order].tocsc().astype(np.float64)
    content: dict[str, Any] = {**_facts(what), "A": matrix, **traces, **_columns(what)}
    with path.open("wb") as file:
        savemat(file, content, do_compression=True, oned_as="column")


def _facts(what: Exported) -> dict[str, Any]:
    outcome = what.outcome
    images = {f"image_{name}": image for name, image in outcome.images.items()}
    return {
        "recording": what.name,
        "dims": np.asarray(outcome.components.dims),
        "frame_rate_hz": float(outcome.info.frame_rate_hz),
        "trace_rate_hz": float(outcome.trace_rate_hz),
        "shifts": outcome.shifts.rigid,
        **images,
    }


def _columns(what: Exported) -> dict[str, Any]:
    """Return the table of components, texts as such; names that traces have too say what they are."""
    taken = what.traces()
    return {
        f"component_{name}" if name in taken else name: np.asarray(v, str) if v.dtype == object else v
        for name, v in what.table.items()
    }
