"""Whatever the movie's length and the blocks: parts follow each other, and blocks make each part once."""

from __future__ import annotations

from any_input import few
from hypothesis import given
from hypothesis import strategies as st

from caiman_pipeline.movies.store.bounds import block_parts, part_bounds, part_length

DIMS = st.lists(st.integers(1, 1200), min_size=2, max_size=3).map(tuple)


@few
@given(DIMS, st.integers(1, 20_000), st.integers(1, 60))
def test_blocks_make_every_part_once_and_parts_cover_the_movie(dims: tuple, n_frames: int, n_blocks: int) -> None:
    bounds = part_bounds(n_frames, dims)
    made = [part for block in range(n_blocks) for part in block_parts(n_frames, dims, block, n_blocks)]
    assert made == [(i, *b) for i, b in enumerate(bounds)]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == n_frames
    assert {stop - start for start, stop in bounds[:-1]} <= {part_length(dims)}


@few
@given(DIMS)
def test_a_part_is_a_power_of_two_of_frames_near_64_mib(dims: tuple) -> None:
    length, frame = part_length(dims), 4
    for n in dims:
        frame *= n
    assert length in {2**k for k in range(4, 11)}
    assert length == 16 or length * frame <= 2**26
    assert length == 1024 or 2 * length * frame > 2**26
