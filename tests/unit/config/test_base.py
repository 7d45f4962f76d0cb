from __future__ import annotations

from typing import Literal

import pytest

from caiman_pipeline.config.base import Length, Section, key
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.errors import PipelineError


class Example(Section):
    """A section to try things on."""

    count: int = key(3, "frames", "How many there are of it.", ge=1)
    share: float = key(0.5, "", "Share of the whole thing.", gt=0, le=1)
    on: bool = key(True, "", "Whether it is done at all.")
    reach: Length = key(Length((4.0,), "cells"), "", "How far it goes around.")
    kind: Literal["a", "b"] | None = key(None, "", "Which of the two it is.")
    pair: tuple[float, float] = key((0.25, 0.5), "", "A band of two values.")


@pytest.mark.parametrize(
    ("text", "values", "unit"),
    [
        ("12 um", (12.0,), "um"),
        ("48 px", (48.0,), "px"),
        ("1.5 cells", (1.5,), "cells"),
        ("2 x 9 x 9.5 px", (2.0, 9.0, 9.5), "px"),
        ("2x9 um", (2.0, 9.0), "um"),
        ("  7 px ", (7.0,), "px"),
        ("12um", (12.0,), "um"),
        ("12 µm", (12.0,), "um"),
        ("12.5 μm", (12.5,), "um"),
        ("2 x 9 x 9px", (2.0, 9.0, 9.0), "px"),
    ],
)
def test_length_is_read_as_written(text, values, unit):
    assert Length.parse(text) == Length(values, unit)


@pytest.mark.parametrize(
    "text", ["12", 12, 12.5, "12 mm", "um 12", "-3 px", "3 px px", "1 x 2 x 3 x 4 px", "", None, [5]]
)
def test_length_without_a_number_and_a_unit_is_an_error(text):
    with pytest.raises(ValueError, match="a length needs a number and a unit"):
        Length.parse(text)


def test_length_survives_being_written_and_read():
    for text in ("12 um", "2 x 9 x 9.5 px", "0.25 cells"):
        assert str(Length.parse(str(Length.parse(text)))) == text


def test_micrometres_become_pixels_per_axis():
    assert Length.parse("12 um").in_pixels((5.0, 1.5, 1.5)) == Length((2.4, 8.0, 8.0), "px")
    assert Length.parse("10 x 12 x 3 um").in_pixels((5.0, 1.5, 1.5)) == Length((2.0, 8.0, 2.0), "px")


def test_one_number_of_pixels_stands_for_rows_and_columns():
    """Planes lie further apart than pixels, so they get fewer."""
    assert Length.parse("12 px").in_pixels((6.0, 1.5, 1.5)) == Length((3.0, 12.0, 12.0), "px")
    assert Length.parse("12 px").in_pixels(None) == Length((12.0,), "px")


def test_pixels_given_per_axis_stay_as_they_are():
    assert Length.parse("2 x 9 x 8 px").in_pixels((1.1, 1.1)) == Length((2.0, 9.0, 8.0), "px")


def test_cells_are_multiples_of_the_diameter():
    assert Length.parse("4 cells").in_pixels((2.0, 2.0), Length.parse("12 um")) == Length((24.0,), "px")
    assert Length.parse("1 x 4 x 2 cells").in_pixels(None, Length.parse("9 px")) == Length((9.0, 36.0, 18.0), "px")


def test_micrometres_need_the_pixel_size():
    with pytest.raises(ValueError, match="set `pixel_size_um`"):
        Length.parse("12 um").in_pixels(None)


def test_cells_need_the_diameter():
    with pytest.raises(ValueError, match="set `cell_diameter`"):
        Length.parse("2 cells").in_pixels((1.0, 1.0))


def test_micrometres_along_three_axes_need_three_pixel_sizes():
    with pytest.raises(ValueError, match="plane_spacing_um"):
        Length.parse("10 x 12 x 12 um").in_pixels((1.5, 1.5))


def test_per_axis_repeats_one_value_and_drops_planes_of_a_plane():
    assert Length.parse("7 px").per_axis(3) == (7.0, 7.0, 7.0)
    assert Length.parse("2 x 9 x 8 px").per_axis(2) == (9.0, 8.0)
    assert Length.parse("9 x 8 px").per_axis(2) == (9.0, 8.0)


def test_per_axis_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="has 2 values for a movie of 3"):
        Length.parse("9 x 8 px").per_axis(3)
    with pytest.raises(ValueError, match="not been converted"):
        Length.parse("9 um").per_axis(2)


def test_default_length_is_a_length():
    assert Example().reach == Length((4.0,), "cells")


def test_values_that_arrive_as_text_are_taken_as_meant():
    """As from ``snakemake --config 'section={key: value}'``, which makes text of all that is inside the braces."""
    found = validate(Example, {"count": "5", "on": "false", "kind": "null", "reach": "3 px"}, "here")
    assert (found.count, found.on, found.kind, found.reach) == (5, False, None, Length((3.0,), "px"))
    with pytest.raises(PipelineError, match="`count`"):
        validate(Example, {"count": "null"}, "here")


def test_dump_and_load_change_nothing():
    once = validate(Example, {"reach": "2 x 3 um", "count": 7, "share": 0.1}, "here")
    twice = validate(Example, once.model_dump(mode="json"), "here")
    assert once == twice
    assert twice.model_dump(mode="json") == once.model_dump(mode="json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "`count`: Input should be greater than or equal to 1"),
        ({"count": 5.5}, "`count`"),
        ({"count": True}, "`count`: true and false are not values"),
        ({"share": float("nan")}, "`share`: Input should be a finite number"),
        ({"share": float("inf")}, "`share`: Input should be a finite number"),
        ({"share": [1]}, "`share`"),
        ({"on": "maybe"}, "`on`"),
        ({"reach": 5}, "`reach`: a length needs a number and a unit"),
        ({"kind": "c"}, "`kind`: Input should be 'a' or 'b'"),
        ({"counts": 5}, "unknown key `counts`, did you mean `count`?"),
        ({"pair": [1]}, "`pair.1`"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(PipelineError) as error:
        validate(Example, values, "here")
    assert str(error.value).startswith("here: ")
    assert message in str(error.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(PipelineError) as error:
        validate(Example, {"count": 0, "share": 2, "reach": 5, "unknown": 1}, "here")
    assert all(f"`{name}`" in str(error.value) for name in ("count", "share", "reach", "unknown"))


def test_numbers_written_in_other_ways_are_the_same():
    assert (
        validate(Example, {"count": 5}, "")
        == validate(Example, {"count": 5.0}, "")
        == validate(Example, {"count": "5"}, "")
    )
