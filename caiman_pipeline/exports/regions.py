"""Components as regions: Neurofinder's list of pixels, and outlines for ImageJ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.exports.formats import Exported
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.report.contours import longest_line


def write_neurofinder(path: Path, what: Exported) -> None:
    """Write a JSON list with the pixels [row, column] of each region, as neurofinder.codeneuro.org defined it."""
    what.require_plane("Neurofinder's file")
    ids = what.outcome.components.ids
    regions = [{"id": int(k), "coordinates": what.pixels(row)[0].T.tolist()} for row, k in enumerate(ids)]
    path.write_text(json.dumps(regions), encoding="utf-8")


def write_imagej(path: Path, what: Exported) -> None:
    """Write a ZIP of outlines for ImageJ's ROI Manager, named by the components' ids; needs roifile.

    Raises
    ------
    PipelineError
        If roifile is not installed.
    """
    what.require_plane("a ZIP of regions")
    try:
        from roifile import ImagejRoi, roiwrite
    except ImportError as error:
        raise PipelineError("regions for ImageJ need roifile: pip install roifile.") from error
    level, found = ReportSettings().contour_level, []
    for row, k in enumerate(what.outcome.components.ids):
        places, weights = what.pixels(row)
        line = longest_line(places, weights, threshold=level * float(weights.max())) if len(weights) else None
        if line is not None:
            # ImageJ counts from the corner of a pixel, columns first.
            found.append(ImagejRoi.frompoints(np.asarray(line)[:, :2] + 0.5, name=f"{int(k):05d}"))
    # roifile goes by the suffix, and adds to an archive that is there.
    working = path.with_name(path.name + ".zip")
    roiwrite(working, found, mode="w")
    working.replace(path)
