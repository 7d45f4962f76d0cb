"""What changes with the kind of a recording: settings that stand in the place of the general ones."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from caiman_pipeline.config.base import Section, key

ONE_PHOTON: dict[str, Any] = {
    "motion.high_pass": "0.5 cells",
    "patch_cnmf.background.model": "ring",
    "patch_cnmf.background.ring_size_factor": 0.8,
    "refine.background.model": "ring",
    "refine.background.ring_size_factor": 0.8,
    "refine.rounds": 2,
    "evaluate.classifier": False,
    "traces.dff_kind": "detrended",
    # Cells are in focus: blobs that are larger, or long, are out of focus or of vessels (chosen on simulated movies).
    "select.max_size": 1.4,
    "select.max_elongation": 2.0,
}


class KindSettings(Section):
    """Settings of recordings of another kind than two_photon (`recording.kind`), in the place of those above.

    Each is written as `section.key: value`; a column of the sheet still wins for its recording.
    """

    one_photon: dict[str, Any] = key(ONE_PHOTON, "", "For one-photon recordings (miniscopes); what is listed, no more.")

    @field_validator("one_photon")
    @classmethod
    def _dotted(cls, value: dict[str, Any]) -> dict[str, Any]:
        if wrong := [name for name in value if "." not in name or name.startswith(("paths.", "recording.", "kinds."))]:
            raise ValueError(f"each is a key of a stage, like `patch_cnmf.init`; {wrong[0]!r} is not")
        return value

    def of(self, kind: str) -> dict[str, Any]:
        """Return the settings of a kind, by their dotted names."""
        return self.one_photon if kind == "one_photon" else {}
