"""What every section of the config shares: strict models, keys with a unit, and lengths that state their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

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


class Section(BaseModel):
    """One section of the config: unknown keys are errors, values are checked, instances do not change.

    ``stage`` is its name in the config; parts of a stage's section have none. ``recording_keys`` names what the
    section's stage needs to know about the recording, so that the stage runs again when one of these changes and not
    for the others; ``others`` names keys of other sections that it reads too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    stage: ClassVar[str] = ""
    recording_keys: ClassVar[tuple[str, ...]] = ()
    others: ClassVar[dict[str, tuple[str, ...]]] = {}

    def incomplete(self) -> str:
        """Return what a recording's settings lack, as the rest of a key's name and why; "" if nothing."""
        return ""

    def unused(self) -> set[str]:
        """Return keys that make no difference beside the values of the others: the stage is not handed them."""
        return set()

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
        """Read a length; a number without unit is an error."""
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

        Raises
        ------
        ValueError
            If the unit is micrometres and the pixel size is unknown, or cells and the cell's size is.
        """
        if self.unit == "cells":
            if cell is None:
                raise ValueError(f"'{self}' counts cells, but the cell diameter is not known: set `cell_diameter`")
            factors, diameters = self._matched(cell.in_pixels(pixel_um).values)
            return Length(tuple(round(f * d, 4) for f, d in zip(factors, diameters, strict=True)), "px")
        if self.unit == "px":
            if pixel_um is None or len(self.values) > 1:
                return self
            return Length(tuple(round(self.values[0] * pixel_um[-1] / p, 4) for p in pixel_um), "px")
        if pixel_um is None:
            raise ValueError(f"'{self}' is in micrometres, but the pixel size is not known: set `pixel_size_um`")
        values, sizes = self._matched(pixel_um)
        return Length(tuple(round(v / s, 4) for v, s in zip(values, sizes, strict=True)), "px")

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

        Raises
        ------
        ValueError
            If the length is not in pixels or has another number of axes.
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
        """Read a count."""
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
