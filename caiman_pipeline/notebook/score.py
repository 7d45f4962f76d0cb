"""Scores against the truth of a simulated recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caiman_pipeline.model.components import Components
from caiman_pipeline.notebook.results import RecordingResults
from caiman_pipeline.results.files import load_result
from caiman_pipeline.simulation.scoring import Extracted, Rule, Score, read_found, score_result


def score(
    found: Path | str | RecordingResults | Components,
    truth: Path | str,
    *,
    accepted_only: bool = True,
    rule: Rule | None = None,
) -> Score:
    """Compare what was found with the truth of a simulated recording.

    Parameters
    ----------
    found : path, RecordingResults or Components
        An NWB file that the workflow wrote, a recording's results folder, a ``components.h5``, or what is open already.
    truth : path
        The truth that ``simulate`` wrote.
    accepted_only : bool, optional
        Score the accepted components, or all of them.
    rule : Rule, optional
        What counts as a pair; that of ``caiman-pipeline score`` where none is given.

    Returns
    -------
    Score
        ``precision``, ``recall`` and ``f1`` of the components, correlations of their traces with the true ones, error
        of the rigid shifts in pixels.

    Raises
    ------
    PipelineError
        If a file cannot be read, or result and truth are not of one recording.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> result = cp.score("results/mouse_a", "data/truth.h5")
    >>> result.true, result.recall > 0.5
    (6, True)
    """
    if isinstance(found, Components):
        components = _of_components(found)
    else:
        components = read_found(found.folder if isinstance(found, RecordingResults) else found)
    chosen = components.only_accepted() if accepted_only else components
    return score_result(chosen, load_result(truth, "truth"), rule or Rule())


def _of_components(components: Components) -> Extracted:
    return Extracted(
        dims=components.dims,
        footprints=components.footprints,
        accepted=np.ones(components.n_components, bool),
        traces={"demixed": components.denoised[:] + components.residual[:], "denoised": components.denoised[:]},
        rigid=None,
    )
