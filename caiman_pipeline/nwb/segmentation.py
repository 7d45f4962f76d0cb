"""The components of an NWB file: their masks and columns, and the images they lie on."""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np
from hdmf.common import VectorData
from pynwb.image import GrayscaleImage
from pynwb.ophys import ImagingPlane, PlaneSegmentation

from caiman_pipeline.model.arrays import AnyArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.nwb.series import reserve
from caiman_pipeline.outcome import Outcome

# Pixels of a chunk's side in the stack of masks: a cell touches few chunks, and the others are not stored.
MASK_CHUNK = 64
SHOWN_IMAGES = ("mean", "correlation")
COLUMN_TEXT = {
    "Accepted": "whether the component passed the selection",
    "Rejected": "whether the component failed the selection",
    "ROICentroids": "centre of mass of the footprint in pixels, order x, y[, z], counted from the centre of the first",
    "reason": "why the component was accepted or rejected",
    "snr": "peak of a transient's length over the noise",
    "r_value": "correlation of the footprint with the movie around its transients",
    "soma_score": "probability that the footprint is a soma's, by its shape",
    "probability": "calibrated probability that the component is a cell, of soma score, snr, r_value and size together",
    "size_px": "pixels above half the footprint's peak",
    "elongation": "length of the footprint over its width",
    "border_share": "share of the footprint's weight next to the end of what the movie shows",
    "saturated_share": "share of the footprint's weight on saturated pixels",
    "likeness": "how much the component repeats a stronger one, in footprint and trace, 0 to 1",
    "nesting": "how far the component and a stronger one lie within each other's outline, 0 to 1",
    "motion_share": "share of the trace's variance, slow drifts aside, that the displacement of the frames explains",
    "x_um": "centre of mass along x, micrometres",
    "y_um": "centre of mass along y, micrometres",
    "z_um": "centre of mass along z, micrometres",
    "baseline": "level below the calcium in the series Demixed, on average over time",
    "noise": "standard deviation per frame of the noise of the series Demixed (and of F, to which its level adds none)",
    "neighbours_light": "light of other ROIs at rest under the footprint, which the series Background is without",
    "own_decay_s": "1/e decay of the trace's autocovariance, seconds; NaN for traces without events",
    "events_per_min": "how often per minute the series Denoised has a maximum that is above its lowest value since the "
    "event before by at least so many of the column noise as the setting traces.event_height says",
    "flags": "what is the matter with the trace, if anything",
}


def segment(plane: ImagingPlane, components: Components, table: Mapping[str, AnyArray]) -> PlaneSegmentation:
    """Return the table of components, its masks (K, x, y[, z]) still empty.

    Parameters
    ----------
    plane : ImagingPlane
        What was imaged.
    components : Components
        K of them.
    table : dict of arrays (K,)
        What ``component_table`` lays out.

    Returns
    -------
    PlaneSegmentation
        Columns filled, masks to be filled by ``fill_masks``.
    """
    shape = (components.n_components, *components.dims[::-1])
    chunks = (1, *(min(MASK_CHUNK, n) for n in shape[1:]))
    axes = [table[f"{a}_px"] for a in "xyz" if f"{a}_px" in table]
    columns = {
        "Accepted": np.asarray(table["accepted"], bool),
        "Rejected": ~np.asarray(table["accepted"], bool),
        "ROICentroids": np.stack(axes, axis=1),
        **{name: values for name, values in table.items() if name in COLUMN_TEXT},
    }
    masks = VectorData(
        name="image_mask",
        description="footprint of each component as weights of unit Euclidean norm, order x, y[, z]",
        data=reserve(shape, chunks),
    )
    vectors = [VectorData(name=n, description=COLUMN_TEXT[n], data=_storable(v)) for n, v in columns.items()]
    return PlaneSegmentation(
        name="PlaneSegmentation",
        description="components found by constrained matrix factorisation, accepted and rejected",
        imaging_plane=plane,
        id=np.asarray(table["id"], np.int64),
        columns=[masks, *vectors],
        colnames=["image_mask", *columns],
    )


def _storable(values: AnyArray) -> AnyArray:
    """Give text columns a fixed-width type, which an empty column keeps."""
    return values.astype(str) if values.dtype == object else values


def summary_images(outcome: Outcome) -> list[GrayscaleImage]:
    """Return the mean and correlation images, order x, y; a volume gives one of each per plane.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.

    Returns
    -------
    list of GrayscaleImage
        Float32 (W, H), in raw pixel values or without unit.
    """
    images = []
    for name in SHOWN_IMAGES:
        image = outcome.images[name]
        planes = {name: image} if image.ndim == 2 else {f"{name}_plane_{z:03d}": p for z, p in enumerate(image)}
        text = {"mean": "mean of the corrected movie", "correlation": "correlation of each pixel with its neighbours"}
        images += [
            GrayscaleImage(name=n, data=np.ascontiguousarray(p.T, dtype=np.float32), description=text[name])
            for n, p in planes.items()
        ]
    return images


def fill_masks(dataset: h5py.Dataset, components: Components) -> None:
    """Write each footprint's bounding box; chunks that no footprint touches are never stored.

    Parameters
    ----------
    dataset : h5py.Dataset (K, W, H[, D])
        The stack of masks.
    components : Components
        K of them.
    """
    footprints = components.footprints.tocsc()
    for k in range(components.n_components):
        part = slice(footprints.indptr[k], footprints.indptr[k + 1])
        if part.start == part.stop:
            continue
        places = np.unravel_index(footprints.indices[part], components.dims)[::-1]
        corner = [int(p.min()) for p in places]
        box = np.zeros([int(p.max()) + 1 - c for p, c in zip(places, corner, strict=True)], np.float32)
        box[tuple(p - c for p, c in zip(places, corner, strict=True))] = footprints.data[part]
        dataset[(k, *(slice(c, c + n) for c, n in zip(corner, box.shape, strict=True)))] = box
