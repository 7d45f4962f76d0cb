"""Settings of the ``refine`` stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from caiman_pipeline.config.background import BackgroundSettings
from caiman_pipeline.config.base import Section, key
from caiman_pipeline.config.footprints import FootprintSettings


class RefineSettings(Section):
    """Updates of all components over the full field."""

    stage: ClassVar[str] = "refine"

    start: str | None = key(
        None, "file", "A components.h5, edited or not, to refine instead of what the search found; ids are kept."
    )
    rounds: int = key(1, "", "Rounds of a spatial and a temporal update; each reads the movie twice.", ge=1, le=20)
    grow: float = key(0.2, "cell diameters", "How far a footprint may grow in one spatial update.", ge=0, le=2)
    significance: float = key(
        2.5,
        "standard errors",
        "Pixels of a footprint that show less than this, with those around them or alone, are dropped.",
        ge=0,
    )
    min_size: float = key(
        0.2, "", "Smallest footprint, as a share of the area (volume) of a cell of the given diameter.", gt=0, le=1
    )
    seeds: Literal["update", "keep"] = key(
        "update", "", "Footprints of seeds: weighted anew inside their masks, or the masks as they are."
    )
    footprints: FootprintSettings = FootprintSettings()
    background: BackgroundSettings = BackgroundSettings()
