"""What every section of the config shares: strict models, keys with a unit, and lengths that state their unit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

COUNT_PATTERN = r"^(evidence|\d+(\.\d+)?(e-?\d+)? per (tile|cell|mm2|mm3|px))$"
LENGTH_PATTERN = r"^\d+(\.\d+)?( *x *\d+(\.\d+)?){0,2} *(px|um|µm|μm|cells)$"


class UndeclaredKeyError(AttributeError):
    """A job asks for a key that it was not handed."""


class Section(BaseModel):
    """One section of the config: unknown keys are errors, values are checked, instances do not change.

    ``stage`` is its name in the config; parts of a stage's section have none. A job's section holds the keys that the
    registry lists for its stage; to ask it for another one is a mistake of the program.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    stage: ClassVar[str] = ""
    # Durations that the stage counts in whole frames: the longest, in frames, that is the same to it as none.
    whole_frames: ClassVar[dict[str, int]] = {}

    def incomplete(self) -> str:
        """Return what a recording's settings lack, as the rest of a key's name and why; "" if nothing."""
        return ""

    def unused(self) -> set[str]:
        """Return keys that make no difference beside the values of the others: the stage is not handed them."""
        return set()

    def in_frames(self, name: str, frame_rate_hz: float) -> float:
        """Return a duration of whole frames in seconds, as near as it is counted: one of the same frames is the same.

        Where it is none, it is 0 if that may be written.
        """
        value: float = getattr(self, name)
        frames = round(value * frame_rate_hz)
        if frames > self.whole_frames[name]:
            return frames / frame_rate_hz
        may_be_none = any(getattr(bound, "ge", None) == 0 for bound in type(self).model_fields[name].metadata)
        return 0.0 if may_be_none else value

    def only(self, names: Iterable[str]) -> Self:
        """Return the section with these keys and no others: whoever asks for one of those is told so."""
        part = self.model_copy()
        for name in set(part.__dict__) - set(names):
            del part.__dict__[name]
        return part

    def completed(self) -> Self:
        """Return the section with defaults in the place of the keys that it does not hold."""
        return type(self).model_validate(self.plain())

    def plain(self) -> dict[str, Any]:
        """Return the keys that the section holds, as plain values."""
        return self.model_dump(mode="json", include=set(self.__dict__))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say of a key that a job was not handed what is to be mended."""
            if name in type(self).model_fields:
                raise UndeclaredKeyError(
                    f"a job reads `{self.stage or type(self).__name__}.{name}`, which its stage in "
                    "caiman_pipeline/stages.py does not list among what it reads"
                )
            return super().__getattr__(name)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and not _accepts_switch(kind):
            raise ValueError("true and false are not values for this key")
        # On Snakemake's command line a null inside of braces arrives as text.
        return None if isinstance(value, str) and value == "null" else value


def _accepts_switch(kind: Any) -> bool:
    return kind in (bool, Any) or any(isinstance(k, bool) or _accepts_switch(k) for k in get_args(kind))


def key(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    """Declare a config key: its default, its unit ("" for none), what it means, and pydantic bounds.

    A length's default is kept as it is written (and validated like one that was given), so that it shows in the schema.

    Parameters
    ----------
    default : object
        Its default.
    unit : str
        Its unit, empty for none.
    description : str
        What it means, one sentence.
    bounds : keyword arguments
        What pydantic's ``Field`` takes, like ``ge=0``.

    Returns
    -------
    object
        Field of a section.
    """
    default = str(default) if isinstance(default, Length | Count) else default
    return Field(default, description=description, json_schema_extra={"unit": unit} if unit else None, **bounds)


@dataclass(frozen=True)
class Length:
    """A length with its unit, as written in the config: ``12 um``, ``48 px``, ``2 x 9 x 9 px`` or ``4 cells``.

    One number is the same length along every axis (one in px counts pixels along the columns); two or three give each
    axis, in the order (planes, rows, columns). ``cells`` counts cell diameters.
    """

    values: tuple[float, ...]
    unit: str

    @classmethod
    def parse(cls, text: object) -> Length:
        """Read a length; a number without unit is an error.

        Parameters
        ----------
        text : str or Length
            What a user wrote.

        Returns
        -------
        Length
            Values and unit.

        Raises
        ------
        ValueError
            If it has no unit, or another form.

        Examples
        --------
        >>> Length.parse("2 x 9 x 9 px")
        Length(values=(2.0, 9.0, 9.0), unit='px')
        """
        if isinstance(text, Length):
            return text
        if not isinstance(text, str) or not re.match(LENGTH_PATTERN, text.strip()):
            raise ValueError("a length needs a number and a unit, like '12 um', '48 px' or '4 cells'")
        unit = next(u for u in ("px", "um", "µm", "μm", "cells") if text.strip().endswith(u))
        numbers = text.strip().removesuffix(unit).split("x")
        return cls(tuple(float(n) for n in numbers), "um" if unit.endswith("m") else unit)

    def __str__(self) -> str:
        return " x ".join(f"{v:g}" for v in self.values) + f" {self.unit}"

    def in_pixels(self, pixel_um: tuple[float, ...] | None, cell: Length | None = None) -> Length:
        """Convert to pixels, one value per axis of ``pixel_um`` (the pixel's size) where that is known.

        Parameters
        ----------
        pixel_um : tuple of float, or None
            Size of a pixel along each axis, um.
        cell : Length, optional
            Diameter of a cell.

        Returns
        -------
        Length
            In px.

        Raises
        ------
        ValueError
            If the unit is micrometres and the pixel size is unknown, or cells and the cell's size is.

        Examples
        --------
        >>> str(Length.parse("12 um").in_pixels((2.0, 1.5)))
        '6 x 8 px'
        """
        if self.unit == "cells":
            if cell is None:
                raise ValueError(f"'{self}' counts cells, but the cell diameter is not known: set `cell_diameter`")
            factors, diameters = self._matched(cell.in_pixels(pixel_um).values)
            return self._resolved(tuple(round(f * d, 4) for f, d in zip(factors, diameters, strict=True)))
        if self.unit == "px":
            if pixel_um is None or len(self.values) > 1:
                return self
            return self._resolved(tuple(round(self.values[0] * pixel_um[-1] / p, 4) for p in pixel_um))
        if pixel_um is None:
            raise ValueError(f"'{self}' is in micrometres, but the pixel size is not known: set `pixel_size_um`")
        values, sizes = self._matched(pixel_um)
        return self._resolved(tuple(round(v / s, 4) for v, s in zip(values, sizes, strict=True)))

    def _resolved(self, pixels: tuple[float, ...]) -> Length:
        """Return pixels per axis; one number where one was written and all are the same.

        So a length is the same whatever unit it was written in, and whether or not a size of (square) pixels that it
        does not depend on is known.
        """
        same = len(self.values) == 1 and len(set(pixels)) == 1
        return Length(pixels[:1] if same else pixels, "px")

    def _matched(self, others: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return both as one value per axis; a single value stands for every axis."""
        n_axes = max(len(self.values), len(others))
        if {len(self.values), len(others)} - {1, n_axes}:
            raise ValueError(
                f"'{self}' has {len(self.values)} values, but {len(others)} axes are known: "
                "give one per axis, and `plane_spacing_um` for volumes"
            )
        return self.values * (n_axes // len(self.values)), others * (n_axes // len(others))

    def per_axis(self, ndim: int) -> tuple[float, ...]:
        """Return pixels along each of ``ndim`` axes.

        Parameters
        ----------
        ndim : int
            2 or 3.

        Returns
        -------
        tuple of float
            Pixels along each axis.

        Raises
        ------
        ValueError
            If the length is not in pixels or has another number of axes.

        Examples
        --------
        >>> Length.parse("2 x 9 x 9 px").per_axis(2)
        (9.0, 9.0)
        """
        if self.unit != "px":
            raise ValueError(f"'{self}' has not been converted to pixels")
        if len(self.values) == 1:
            return self.values * ndim
        if len(self.values) == ndim:
            return self.values
        if len(self.values) == ndim + 1:
            return self.values[1:]
        raise ValueError(f"'{self}' has {len(self.values)} values for a movie of {ndim} spatial axes")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": LENGTH_PATTERN}


@dataclass(frozen=True)
class Count:
    """How many components: ``evidence`` (as many as there is evidence for), ``30 per tile`` or a density.

    Densities are ``0.2 per cell`` (per area or volume of a cell), ``400 per mm2`` or ``20000 per mm3``.
    """

    number: float
    per: str

    @classmethod
    def parse(cls, text: object) -> Count:
        """Read a count.

        Parameters
        ----------
        text : str or Count
            What a user wrote.

        Returns
        -------
        Count
            Number, and per what.

        Raises
        ------
        ValueError
            If it has another form, or is not possible.
        """
        if isinstance(text, Count):
            return text
        if not isinstance(text, str) or not re.match(COUNT_PATTERN, text.strip()):
            raise ValueError("a count is 'evidence', '30 per tile', '0.2 per cell', '400 per mm2' or '20000 per mm3'")
        number, _, per = text.strip().partition(" per ")
        if not per:
            return cls(0.0, "evidence")
        if float(number) <= 0 or (per == "tile" and not float(number).is_integer()):
            raise ValueError(f"'{text}' is not a possible number of components")
        return cls(float(number), per)

    def __str__(self) -> str:
        return self.per if self.per == "evidence" else f"{self.number:.10g} per {self.per}"

    def in_pixels(self, pixel_um: tuple[float, ...] | None, cell: Length | None = None) -> Count:
        """Convert a density per mm2 or mm3 to one per pixel.

        Parameters
        ----------
        pixel_um : tuple of float, or None
            Size of a pixel along each axis, um.
        cell : Length, optional
            Not used: densities per cell are resolved where cells are known.

        Returns
        -------
        Count
            Per px, or as it was.

        Raises
        ------
        ValueError
            If the pixel size is not known, or the movie is a volume and the density one per area (or the reverse).
        """
        if self.per not in ("mm2", "mm3"):
            return self
        if pixel_um is None:
            raise ValueError(f"'{self}' is a density, but the pixel size is not known: set `pixel_size_um`")
        if len(pixel_um) != (3 if self.per == "mm3" else 2):
            raise ValueError(f"'{self}': volumes have densities per mm3 and a `plane_spacing_um`, planes per mm2")
        volume_mm = 1.0
        for side in pixel_um:
            volume_mm *= side / 1000
        return Count(self.number * volume_mm, "px")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": COUNT_PATTERN}
