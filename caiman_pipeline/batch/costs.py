"""What each stage holds in memory and takes in time, as a function of a recording's size.

Memory of a stage is a base (Python and its libraries) plus what it holds at once: parts of the movie, images, a few
traces, binned tiles. Nothing grows with frames times pixels or frames times components. Time is a start plus a cost
per pixel and frame, per core. The coefficients are fitted to ``tests/benchmarks/plan_measurements.tsv``
(``bench_plan.py fit``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from math import pi, prod
from typing import TYPE_CHECKING

from caiman_pipeline.model.movie import Dims
from caiman_pipeline.stages import STAGES

if TYPE_CHECKING:
    from caiman_pipeline.config.base import Length
    from caiman_pipeline.config.root import Config

# Pixels per component where the size of a cell is not known, and the share of the field that cells' areas add up to.
PIXELS_PER_CELL, COVERED = 500, 0.19
# A footprint of 400 pixels, each with an index of 8 bytes and a float32.
FOOTPRINT_BYTES = 400 * 12
# Raw frames are read in chunks of 16 MiB.
CHUNK_MB = 16 * 2**20 / 1e6


@dataclass(frozen=True)
class Layout:
    """The pieces that a recording's settings cut it into; lengths in pixels, one for all axes or one for each.

    Attributes
    ----------
    bin_frames, max_bins : frames averaged for the search at the least, and most bins
    cell, tile, overlap : diameter of a cell, size of a tile (None: chosen) and what tiles share
    nodes : distance of the nodes of local motion; None: motion is rigid, or there is none
    """

    bin_frames: float
    max_bins: int
    cell: Length
    tile: Length | None
    overlap: Length
    nodes: Length | None

    def is_for(self, ndim: int) -> bool:
        """Tell whether the lengths are for movies of so many axes."""
        lengths = (self.cell, self.tile, self.overlap, self.nodes)
        return all(length is None or len(length.values) in (1, ndim, ndim + 1) for length in lengths)


def layout_of(config: Config) -> Layout:
    """Return what a recording's settings say; lengths that cannot be turned into pixels raise a ``ValueError``."""
    facts, search, motion = config.recording, config.patch_cnmf, config.motion
    rate, decay, cell = facts.frame_rate_hz, facts.decay_time_s, facts.cell_diameter
    assert rate is not None
    assert decay is not None
    assert cell is not None

    def pixels(length: Length) -> Length:
        return length.in_pixels(facts.pixel_um(), facts.cell_diameter)

    return Layout(
        bin_frames=search.bin_decay_times * decay * rate,
        max_bins=search.max_bins,
        cell=pixels(cell),
        tile=pixels(search.tile_size) if search.tile_size else None,
        overlap=pixels(search.tile_overlap),
        nodes=pixels(motion.patch_spacing) if motion.method == "piecewise" else None,
    )


@cache
def usual_layout() -> Layout:
    """Return the layout of a recording of which only the size is known: all frames are bins, up to the usual number."""
    from caiman_pipeline.config.base import Length
    from caiman_pipeline.config.root import Config

    usual, cell = Config(), Length((2 * (PIXELS_PER_CELL * COVERED / pi) ** 0.5,), "px")
    return Layout(
        1.0,
        usual.patch_cnmf.max_bins,
        cell,
        None,
        usual.patch_cnmf.tile_overlap.in_pixels(None, cell),
        usual.motion.patch_spacing.in_pixels(None, cell),
    )


@dataclass(frozen=True)
class MovieSize:
    """Frames, frame size (H, W) or (D, H, W), bytes of a raw pixel, and what the settings cut it into, if known."""

    n_frames: int
    dims: Dims
    pixel_bytes: int
    layout: Layout | None = None

    @property
    def pieces(self) -> Layout:
        """What the movie is cut into."""
        return self.layout or usual_layout()

    @property
    def frame_mb(self) -> float:
        """One frame as float32, MB."""
        return prod(self.dims) * 4 / 1e6

    @property
    def n_chunks(self) -> int:
        """Chunks that the raw movie is read in."""
        return math.ceil(self.n_frames * prod(self.dims) * self.pixel_bytes / 1e6 / CHUNK_MB)

    @property
    def part_mb(self) -> float:
        """One part of the movie store, MB."""
        from caiman_pipeline.movies.store.bounds import part_length

        return self.frame_mb * min(part_length(self.dims), self.n_frames)

    @property
    def n_cells(self) -> float:
        """Components to expect in a well-filled field of view."""
        cell = self.pieces.cell.per_axis(len(self.dims))
        return COVERED * prod(self.dims) / (prod(max(d, 1.0) for d in cell) * (pi / 4 if len(cell) == 2 else pi / 6))

    @property
    def trace_mb(self) -> float:
        """One float32 trace, MB."""
        return self.n_frames * 4 / 1e6

    @property
    def traces_mb(self) -> float:
        """One float32 trace per component, MB."""
        return self.n_cells * self.trace_mb

    @property
    def n_bins(self) -> int:
        """Bins of time that components are searched for in."""
        from caiman_pipeline.extraction.binning import frames_per_bin

        pieces = self.pieces
        return self.n_frames // frames_per_bin(self.n_frames, bin_frames=pieces.bin_frames, max_bins=pieces.max_bins)

    @property
    def binned_mb(self) -> float:
        """One binned float32 trace per component, MB."""
        return self.n_cells * self.n_bins * 4 / 1e6

    @property
    def tile_px(self) -> tuple[float, ...]:
        """Size of a tile along each axis, overlap included."""
        from caiman_pipeline.extraction.tiles.layout import MIN_TILE_CELLS, TILE_ELEMENTS, tile_size

        pieces, ndim = self.pieces, len(self.dims)
        if pieces.tile is not None:
            wanted = pieces.tile.per_axis(ndim)
        else:
            sizes = zip(pieces.cell.per_axis(ndim), pieces.overlap.per_axis(ndim), strict=True)
            smallest = tuple(MIN_TILE_CELLS * cell + overlap for cell, overlap in sizes)
            wanted = tile_size(self.dims, n_bins=self.n_bins, max_elements=TILE_ELEMENTS, smallest_px=smallest)
        return tuple(min(t, n) for t, n in zip(wanted, self.dims, strict=True))

    @property
    def n_tiles(self) -> int:
        """Tiles that the field of view is cut into."""
        overlap = self.pieces.overlap.per_axis(len(self.dims))
        cuts = zip(self.dims, self.tile_px, overlap, strict=True)
        return prod(math.ceil((n - o) / max(t - o, 1)) if n > t else 1 for n, t, o in cuts)

    @property
    def tile_mb(self) -> float:
        """One binned tile, MB."""
        return prod(self.tile_px) * self.n_bins * 4 / 1e6

    @property
    def box_mb(self) -> float:
        """What is read of a part of the movie for one tile, MB."""
        return self.part_mb * prod(self.tile_px) / prod(self.dims)

    @property
    def field_mb(self) -> float:
        """Local displacement of all frames at all nodes, MB."""
        if self.pieces.nodes is None:
            return 0.0
        spacing = self.pieces.nodes.per_axis(len(self.dims))
        nodes = prod(round(n / s) + 1 for n, s in zip(self.dims, spacing, strict=True))
        return min(nodes, 400) * len(self.dims) * self.trace_mb

    @property
    def pair_mb(self) -> float:
        """One float64 value per pair of components, MB."""
        return self.n_cells**2 * 8 / 1e6


@dataclass(frozen=True)
class Disk:
    """What a stage leaves on disk: movies and images of frame size, tables of traces, binned ones and footprints."""

    base_mb: float = 0.0
    movies: float = 0.0
    images: float = 0.0
    traces: float = 0.0
    binned: float = 0.0
    footprints: float = 0.0

    def mb(self, size: MovieSize) -> float:
        """Return what a recording takes, MB."""
        movie_mb, footprints_mb = size.n_frames * size.frame_mb, size.n_cells * FOOTPRINT_BYTES / 1e6
        tables = self.traces * size.traces_mb + self.binned * size.binned_mb + self.footprints * footprints_mb
        return self.base_mb + self.movies * movie_mb + self.images * size.frame_mb + tables


@dataclass(frozen=True)
class StageCost:
    """How one job of a stage scales.

    Attributes
    ----------
    base_mb : memory of the process before it reads anything
    parts, images, traces : parts of the movie, images of frame size, and single traces of all frames held at once
    fields, binned, pairs : tables of local displacement, of binned traces, and of pairs of components held at once
    raw_chunks, tiles, boxes : chunks of raw frames, binned tiles, and what is read of a part of the movie for a tile,
        held per thread that has one to work on
    start_s, ns : seconds to start, and nanoseconds per pixel and frame on one core
    us_pixel, ns_trace : microseconds per pixel of a frame, and nanoseconds per trace and frame, on one core
    disk : what all its jobs leave
    """

    base_mb: float
    parts: float = 0.0
    images: float = 0.0
    traces: float = 0.0
    fields: float = 0.0
    binned: float = 0.0
    pairs: float = 0.0
    raw_chunks: float = 0.0
    tiles: float = 0.0
    boxes: float = 0.0
    start_s: float = 0.5
    ns: float = 0.0
    us_pixel: float = 0.0
    ns_trace: float = 0.0
    disk: Disk = Disk(0.1)

    def memory_mb(self, size: MovieSize, threads: int) -> float:
        """Return the peak memory of one job, MB."""
        return self.base_mb + sum(getattr(self, name) * unit for name, unit in held_mb(size, threads).items())

    def core_seconds(self, size: MovieSize) -> float:
        """Return the time of all jobs of the stage together on one core, s."""
        n_pixels = prod(size.dims)
        per_frame = self.ns * n_pixels + self.ns_trace * size.n_cells
        return per_frame * size.n_frames * 1e-9 + self.us_pixel * n_pixels * 1e-6


def held_mb(size: MovieSize, threads: int) -> dict[str, float]:
    """Return the size of one of each thing that stages hold, MB, by its name in ``StageCost``."""
    return {
        "parts": size.part_mb,
        "images": size.frame_mb,
        "traces": size.trace_mb,
        "fields": size.field_mb,
        "binned": size.binned_mb,
        "pairs": size.pair_mb,
        "raw_chunks": min(threads, size.n_chunks) * CHUNK_MB,
        "tiles": min(threads, size.n_tiles) * size.tile_mb,
        "boxes": min(threads, size.n_tiles) * size.box_mb,
    }


# By the names that the registry of stages gives.
COSTS: dict[str, StageCost] = {
    "inspect": StageCost(56, raw_chunks=2, traces=74, ns=1.5),
    "motion_template": StageCost(220, images=208, start_s=1.0, ns=1, us_pixel=50),
    "motion_correct": StageCost(
        191, parts=2.2, images=116, fields=1.05, raw_chunks=1, start_s=1.0, ns=45, disk=Disk(movies=1)
    ),
    "memmap_join": StageCost(80, images=23, traces=12, start_s=0.7),
    "summary_images": StageCost(197, parts=2.5, images=84, start_s=0.7, ns=8, disk=Disk(images=8)),
    "patch_cnmf": StageCost(
        211, images=27, binned=17, tiles=2.8, start_s=1.5, ns=35, disk=Disk(binned=2, footprints=2)
    ),
    "merge": StageCost(154, binned=16, start_s=0.8, ns_trace=200, disk=Disk(binned=1, footprints=1)),
    "refine": StageCost(
        213,
        parts=2.2,
        images=47,
        traces=80,
        pairs=3.5,
        start_s=2.0,
        ns=3,
        ns_trace=700,
        disk=Disk(traces=3, footprints=1),
    ),
    "evaluate": StageCost(235, parts=2.1, images=12.5, traces=23, pairs=1.5, start_s=1.0, ns=4.5),
    "traces": StageCost(216, images=20, traces=174, start_s=1.0, ns_trace=1100, disk=Disk(traces=7)),
    "select": StageCost(77, start_s=0.4),
    "export_nwb": StageCost(138, images=23, binned=44, start_s=1.7, ns_trace=300, disk=Disk(traces=8, footprints=1)),
    "report": StageCost(121, images=17, traces=10.5, pairs=4.5, start_s=1.0, ns_trace=50, disk=Disk(base_mb=1)),
}


def cost_of(stage: str) -> StageCost:
    """Return how a stage of the registry scales."""
    return COSTS[STAGES[stage].cost or stage]
