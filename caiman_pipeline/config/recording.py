"""What is to be known of a recording: in the sheet's columns, or for all recordings in the config."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import Any, Literal

from pydantic import field_validator, model_validator

from caiman_pipeline.config.base import Length, Section, key
from caiman_pipeline.config.pixels import PixelSize
from caiman_pipeline.model.errors import PipelineError

AGE = r"P(?=[\dT])(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?"
AXES = r"([A-Z]\d{0,6}){2,6}"
PLANES = r"[1-9]\d*(-[1-9]\d*)?(,[1-9]\d*(-[1-9]\d*)?)*"
SPECIES = r"[A-Z][a-z]* [a-z]+|http://purl\.obolibrary\.org/obo/NCBITaxon_\d+"
REQUIRED = ("frame_rate_hz", "decay_time_s", "cell_diameter")
# What the DANDI archive does not take a file without (nwbinspector's configuration `dandi`, and the session's start),
# and what a reader of an archive will miss.
ARCHIVE_NEEDS = ("subject_id", "species", "sex", "age", "session_start")
ARCHIVE_LIKES = (
    "indicator",
    "location",
    "excitation_nm",
    "emission_nm",
    "pixel_size_um",
    "experimenter",
    "lab",
    "institution",
)


def lacks_spacing(pixel_axes: int, ndim: int) -> str:
    """Say what is missing where the size of a pixel is known along fewer axes than a movie has, or ""."""
    if not 0 < pixel_axes < ndim:
        return ""
    return (
        "`pixel_size_um` is given, but the movie has planes and their distance is not known: set `plane_spacing_um`, "
        "without which lengths cannot be turned into planes."
    )


class RecordingSettings(Section):
    """Facts about recordings. Each key is also a column of the recordings sheet; the sheet wins."""

    kind: Literal["two_photon", "one_photon"] = key(
        "two_photon", "", "How the movie was made; the settings that stand under `kinds` for it are used."
    )
    frame_rate_hz: float | None = key(
        None, "Hz", "Frames (or volumes) per second. Required here or in the sheet.", gt=0
    )
    decay_time_s: float | None = key(
        None, "s", "Decay time of a transient of the indicator (1/e). Required here or in the sheet.", gt=0
    )
    cell_diameter: Length | None = key(
        None, "px or um", "Diameter of a typical cell, like '12 um' or '11 px'. Required here or in the sheet."
    )
    pixel_size_um: PixelSize | None = key(
        None,
        "um",
        "Size of a pixel: a number if it is square, else rows x columns (height x width), like '2.5 x 1.0'.",
    )
    plane_spacing_um: float | None = key(None, "um", "Distance between planes, for volumes.", gt=0)
    axes: str | None = key(
        None,
        "",
        "Order of the axes in the files, letters of TZCYX, where the files do not tell it themselves. A number behind "
        "a letter says how many images follow one another in turn: TZ4YX are volumes of 4 planes.",
    )
    channel: str | None = key(
        None,
        "",
        "Channel to read of files that hold several: its name, or its number as the acquisition software counts "
        "(ScanImage's own numbers, else from 1).",
    )
    planes: str | None = key(
        None, "", "Planes to read of volumes, counted from 1: like '1-3', '1,3,5' or '2' (a flat movie). Else all."
    )
    dataset: str | None = key(None, "", "Path of the movie inside an HDF5 or Zarr file that holds several.")
    subject_id: str | None = key(None, "", "Subject, for the NWB file; with `field`, whose cells are tracked.")
    field: str | None = key(
        None,
        "",
        "Plane or region that the recording shows, by a name of yours: cells are tracked over the recordings of one "
        "`subject_id` and `field`.",
    )
    species: str | None = key(None, "", "Latin name of the species, like Mus musculus, for the NWB file.")
    sex: Literal["M", "F", "U", "O"] | None = key(None, "", "Sex of the subject: M, F, U (unknown) or O (other).")
    age: str | None = key(None, "", "Age of the subject as an ISO 8601 duration, like P90D.")
    session_start: datetime | None = key(
        None, "", "Start of the session with its time zone, like 2024-05-17T09:30:00+02:00."
    )
    session_description: str = key("calcium imaging", "", "One line on the session, for the NWB file.")
    experimenter: str | None = key(None, "", "Experimenter as 'Last, First'; several separated by semicolons.")
    lab: str | None = key(None, "", "Laboratory, for the NWB file.")
    institution: str | None = key(None, "", "Institution, for the NWB file.")
    indicator: str | None = key(None, "", "Calcium indicator, like GCaMP6f, for the NWB file.")
    location: str | None = key(None, "", "Brain area, for the NWB file.")
    excitation_nm: float | None = key(None, "nm", "Excitation wavelength, for the NWB file.", gt=0)
    emission_nm: float | None = key(None, "nm", "Emission wavelength, for the NWB file.", gt=0)

    @model_validator(mode="before")
    @classmethod
    def _planes_apart(cls, values: Any) -> Any:
        """Keep the distance of planes under its own key, also where it was given as the first of three pixel sizes."""
        try:
            size = PixelSize.parse(values["pixel_size_um"])
        except (KeyError, TypeError, ValueError):
            return values
        if size.between_planes is None:
            return values
        spacing = values.get("plane_spacing_um")
        if spacing not in (None, "null") and PixelSize.parse(spacing) != PixelSize((size.between_planes,)):
            raise ValueError(
                f"`pixel_size_um` says that planes are {size.between_planes:g} um apart, `plane_spacing_um` says "
                f"{spacing}: give rows x columns only, or leave `plane_spacing_um` out"
            )
        return {**values, "pixel_size_um": list(size.in_plane), "plane_spacing_um": size.between_planes}

    @field_validator("frame_rate_hz", "decay_time_s", "plane_spacing_um")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("must be a finite number")
        return value

    @field_validator("cell_diameter")
    @classmethod
    def _in_own_unit(cls, value: Length | None) -> Length | None:
        if value is not None and (value.unit == "cells" or min(value.values) <= 0):
            raise ValueError("a cell's diameter is a positive length in px or um")
        return value

    @field_validator("axes")
    @classmethod
    def _known_letters(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(AXES, value.upper()):
            raise ValueError("axes are letters like TYX or TZYX, with a number for images in turn, like TZ4YX")
        return value.upper() if value else value

    @field_validator("channel", "planes", mode="before")
    @classmethod
    def _number_or_text(cls, value: object) -> object:
        """Take a plain number for its text; an empty one says nothing."""
        return (str(value).strip() or None) if isinstance(value, int | str) else value

    @field_validator("planes")
    @classmethod
    def _numbers_from_one(cls, value: str | None) -> str | None:
        plain = value.replace(" ", "") if value else value
        if plain and not re.fullmatch(PLANES, plain):
            raise ValueError("planes are counted from 1, like '1-3', '1,3,5' or '2'")
        return plain

    @field_validator("session_start", mode="before")
    @classmethod
    def _with_zone(cls, value: object) -> object:
        """Read ISO 8601; a number is no date, though pydantic would count seconds."""
        try:
            start = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            start = 0
        if start is None or (isinstance(start, datetime) and start.tzinfo is not None):
            return start
        if isinstance(start, date):
            raise ValueError("needs a time and its time zone, like 2024-05-17T09:30:00+02:00")
        raise ValueError("not a date and time like 2024-05-17T09:30:00+02:00")

    @field_validator("age")
    @classmethod
    def _duration(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(f"{AGE}(/({AGE})?)?", value):
            raise ValueError("not an ISO 8601 duration, like P90D, P12W, P3M or P60D/P90D")
        return value

    @field_validator("species")
    @classmethod
    def _latin_name(cls, value: str | None) -> str | None:
        if value is not None and not re.match(SPECIES, value):
            raise ValueError("not the Latin name of a species, like 'Mus musculus'")
        return value

    def pixel_um(self) -> tuple[float, ...] | None:
        """Size of a pixel per axis, (row, column) or (plane, row, column), or None."""
        if self.pixel_size_um is None:
            return None
        one_plane = re.fullmatch(r"(\d+)(-\1)?", self.planes or "")
        plane = () if self.plane_spacing_um is None or one_plane else (self.plane_spacing_um,)
        return (*plane, *self.pixel_size_um.in_plane)

    def missing_for_archive(self) -> tuple[list[str], list[str]]:
        """Return the facts that an archive needs, and those that it likes to have, which are not given."""
        absent = {name for name, value in self if value is None}
        return [n for n in ARCHIVE_NEEDS if n in absent], [n for n in ARCHIVE_LIKES if n in absent]

    def plane_step(self) -> int:
        """Return every how many planes one is read: the distance between planes is that of the planes read."""
        numbers = [int(n) for n in re.findall(r"\d+", self.planes or "")]
        return numbers[1] - numbers[0] if "," in (self.planes or "") and "-" not in (self.planes or "") else 1

    def pixel_height(self, ndim: int) -> float:
        """Return the height of a pixel in its widths, from a (round) cell's diameters in pixels; 1 where unknown.

        Parameters
        ----------
        ndim : int
            2 or 3.

        Returns
        -------
        float
            Height over width.

        Raises
        ------
        ValueError
            If the diameter is not in pixels, or does not fit a movie of ``ndim`` spatial axes.
        """
        if self.cell_diameter is None:
            return 1.0
        rows, columns = self.cell_diameter.per_axis(ndim)[-2:]
        return columns / rows

    def known(self, name: str) -> Any:
        """Return a fact that a stage cannot do without.

        Parameters
        ----------
        name : str
            Name of the fact.

        Returns
        -------
        object
            Its value.

        Raises
        ------
        PipelineError
            If it is not given.
        """
        value = getattr(self, name)
        if value is None:
            raise PipelineError(f"`recording.{name}` must be given, in the sheet or in the config.")
        return value

    def facts(self) -> dict[str, Any]:
        """Return what is known as plain values, lengths in pixels."""
        facts = self.model_dump(mode="json")
        if self.cell_diameter is not None:
            facts["cell_diameter"] = str(self.cell_diameter.in_pixels(self.pixel_um()))
        return facts
