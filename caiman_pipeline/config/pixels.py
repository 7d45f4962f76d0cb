"""The size of a pixel as written in the config and the sheet: one number, or one per axis."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

NUMBER = r"\d*\.?\d+([eE][+-]?\d+)?"
SIZE_PATTERN = rf"^{NUMBER}( *[x×] *{NUMBER}){{0,2}}( *(um|µm|μm))?$"
LIST_PATTERN = rf"^\[ *{NUMBER}( *, *{NUMBER}){{0,2}} *\]$"


@dataclass(frozen=True)
class PixelSize:
    """Micrometres per pixel along (rows, columns) or (planes, rows, columns): ``1.2`` or ``2.5 x 1.0``.

    One number stands for square pixels. The order is that of the axes of an image, top to bottom before left to
    right: ``2.5 x 1.0`` are pixels 2.5 um tall and 1.0 um wide.
    """

    values: tuple[float, ...]

    @classmethod
    def parse(cls, given: object) -> PixelSize:
        """Read a size; equal sizes of rows and columns are the same as one number.

        Parameters
        ----------
        given : number, str, list or PixelSize
            What a user wrote.

        Returns
        -------
        PixelSize
            Micrometres along each axis.

        Raises
        ------
        ValueError
            If a size is not positive, or there are more than three.

        Examples
        --------
        >>> PixelSize.parse("2.5 x 1.0").values
        (2.5, 1.0)
        """
        if isinstance(given, PixelSize):
            return given
        values = tuple(_numbers(given))
        if not 1 <= len(values) <= 3 or not all(math.isfinite(v) and v > 0 for v in values):
            raise ValueError(
                "a pixel's size is a positive number of um, or one per axis: rows x columns, like '2.5 x 1.0'"
            )
        return cls(values[:1] if len(values) == 2 and values[0] == values[1] else values)

    def __str__(self) -> str:
        return " x ".join(f"{v:.10g}" for v in self.values)

    @property
    def plain(self) -> float | str:
        """As it is written: a number, or text with one number per axis."""
        return self.values[0] if len(self.values) == 1 else str(self)

    @property
    def in_plane(self) -> tuple[float, float]:
        """Along rows (a pixel's height) and along columns (its width), um."""
        return (self.values[0], self.values[0]) if len(self.values) == 1 else (self.values[-2], self.values[-1])

    @property
    def between_planes(self) -> float | None:
        """Distance of planes, um, where three sizes are given."""
        return self.values[0] if len(self.values) == 3 else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda size: size.plain)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"type": "number", "exclusiveMinimum": 0}
        per_axis = {"type": "array", "items": number, "minItems": 1, "maxItems": 3}
        return {"anyOf": [number, {"type": "string", "pattern": SIZE_PATTERN}, per_axis]}


def _numbers(given: object) -> list[float]:
    if isinstance(given, str) and any(re.match(p, given.strip()) for p in (SIZE_PATTERN, LIST_PATTERN)):
        return [float(n) for n in re.split(r"[x×,]", re.sub(r"[uµμ]m$|[\[\]]", "", given.strip()))]
    items = list(given) if isinstance(given, list | tuple) else [given]
    numbers = [float(n) for n in items if isinstance(n, int | float) and not isinstance(n, bool)]
    return numbers if len(numbers) == len(items) else []
