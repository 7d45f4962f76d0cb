"""Write a recording's components and traces for other tools: one function per format, behind one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import AnyArray, FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.outcome import Outcome, keep_accepted
from caiman_pipeline.results.atomic import whole_file, whole_folder


@dataclass(frozen=True)
class Exported:
    """What is exported.

    Attributes
    ----------
    outcome : the components that are exported, every table row-aligned
    table : what ``component_table`` lays out of them
    """

    outcome: Outcome
    table: dict[str, AnyArray]

    @property
    def name(self) -> str:
        """Id of the recording."""
        return self.outcome.info.recording

    def require_plane(self, what: str) -> None:
        """Refuse volumes, which a format has no place for.

        Raises
        ------
        PipelineError
            If the recording is one.
        """
        if len(self.outcome.components.dims) != 2:
            raise PipelineError(f"{self.name}: {what} holds regions of one plane, this recording is a volume.")

    def pixels(self, row: int) -> tuple[AnyArray, FloatArray]:
        """Return the pixels of a component, int64 (ndim, n), and their weights, float32 (n,)."""
        components = self.outcome.components
        part = slice(*components.footprints.indptr[row : row + 2])
        order = np.argsort(components.footprints.indices[part], kind="stable")
        places = np.stack(np.unravel_index(components.footprints.indices[part][order], components.dims))
        return places, components.footprints.data[part][order]

    def traces(self) -> dict[str, FloatArray]:
        """Return all traces by the names of ``RecordingResults.traces``, float32 (K, T)."""
        components, traces = self.outcome.components, self.outcome.traces
        denoised, residual = np.asarray(components.denoised), np.asarray(components.residual)
        kinds = ("deconvolved", "fluorescence", "background", "f0", "dff", "dff_denoised")
        found = {"demixed": denoised + residual, "denoised": denoised, "residual": residual}
        return {**found, **{kind: np.asarray(getattr(traces, kind)) for kind in kinds}}


@dataclass(frozen=True)
class Format:
    """A format: where its writer is, and whether it is a folder."""

    place: str
    folder: bool

    def writer(self) -> Callable[[Path, Exported], None]:
        """Import the writer."""
        module, name = self.place.split(":")
        found: Any = getattr(import_module(f"caiman_pipeline.exports.{module}"), name)
        return found


FORMATS = {
    "suite2p": Format("suite2p:write_suite2p", folder=True),
    "csv": Format("tables:write_csv", folder=True),
    "npz": Format("tables:write_npz", folder=False),
    "mat": Format("tables:write_mat", folder=False),
    "neurofinder": Format("regions:write_neurofinder", folder=False),
    "imagej": Format("regions:write_imagej", folder=False),
}


def export(
    path: Path | str, outcome: Outcome, table: dict[str, AnyArray], *, name: str, everything: bool, overwrite: bool
) -> int:
    """Write a recording's components for another tool, whole or not at all, and return how many.

    Parameters
    ----------
    path : file or folder to write
    outcome : all components
    table : what ``component_table`` lays out, one row per component
    name : one of ``FORMATS``
    everything : rejected components too, with a flag where the format has one
    overwrite : write over what is there

    Raises
    ------
    PipelineError
        If there is no such format, it cannot hold these components, or the path is taken.
    """
    if name not in FORMATS:
        raise PipelineError(f"no format {name!r} to export to. There are {', '.join(FORMATS)}.")
    path, chosen = Path(path), FORMATS[name]
    if path.exists() and not overwrite:
        raise PipelineError(f"{path}: is there already. Write elsewhere, or say that it may be written over.")
    kept = np.ones(len(outcome.components.ids), bool) if everything else outcome.selection.accepted
    what = Exported(outcome if everything else keep_accepted(outcome), {n: v[kept] for n, v in table.items()})
    with (whole_folder if chosen.folder else whole_file)(path) as temporary:
        chosen.writer()(temporary, what)
    return int(kept.sum())
