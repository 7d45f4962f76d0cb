"""A recordings sheet and a config with which the workflow runs on a simulated movie."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from caiman_pipeline.results.atomic import write_text
from caiman_pipeline.simulation.settings import SimulationSettings


def write_sheet(folder: Path, movie: Path, settings: SimulationSettings) -> None:
    """Write a recordings sheet and a config with which the workflow runs on a simulated movie.

    Parameters
    ----------
    folder : path
        Where ``recordings.tsv`` and ``config.yaml`` go.
    movie : path
        The simulated movie.
    settings : SimulationSettings
        What it was simulated with.
    """
    diameter = settings.cell_shape if settings.ndim == 3 else settings.cell_shape[-1:]
    row = {
        "recording": re.sub(r"[^A-Za-z0-9_-]+", "_", movie.stem).strip("_") or "simulated",
        "files": str(movie),
        "frame_rate_hz": f"{settings.frame_rate_hz:g}",
        "decay_time_s": f"{settings.decay_time_s:g}",
        "cell_diameter": " x ".join(f"{d:g}" for d in diameter) + " px",
        "subject_id": "simulated",
        "session_start": "2024-01-01T12:00:00+00:00",
        "session_description": "simulated two-photon recording",
    }
    sheet = folder / "recordings.tsv"
    write_text(sheet, "\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    config = {"paths": {"recordings": str(sheet), "results": str(folder / "results")}}
    write_text(folder / "config.yaml", yaml.safe_dump(config))
