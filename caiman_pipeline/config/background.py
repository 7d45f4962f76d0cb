"""Settings of the background, a section of ``patch_cnmf`` and of ``refine``."""

from __future__ import annotations

from typing import Literal

from caiman_pipeline.config.base import Section, key


class BackgroundSettings(Section):
    """How fluorescence that belongs to no component is modelled, beside a constant of each pixel."""

    model: Literal["nodes", "low_rank", "ring", "static"] = key(
        "nodes",
        "",
        "Local signals of a grid of nodes; a few components over the whole tile or field; what a ring around each "
        "pixel shows; or nothing more.",
    )
    spacing: float = key(
        2.0, "cell diameters", "Distance of the nodes (of `low_rank`: of those that its start is taken from).", ge=1
    )
    components: int = key(2, "", "Components of `low_rank`.", ge=1, le=50)
    update: bool = key(
        True, "", "Solve for the maps of `low_rank` together with the footprints; without, they stay as they start."
    )
    ring_size_factor: float = key(1.0, "cell diameters", "Radius of the ring that `ring` learns from.", gt=0, le=10)
    ssub_B: int | None = key(
        None,
        "px",
        "Side of the blocks of pixels whose averages `ring` works on; empty: so that four make the radius.",
        ge=1,
        le=16,
    )
