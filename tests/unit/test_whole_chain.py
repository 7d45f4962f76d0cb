"""Recordings with nothing or hardly anything in them go through every stage to whole, empty results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from planted import DECAY_S, RATE_HZ, plant
from scipy.ndimage import gaussian_filter

from caiman_pipeline.batch.preflight import check_recording
from caiman_pipeline.batch.starter import write_starter
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.root import Config, load_config, resolve_stage
from caiman_pipeline.config.sheet import load_sheet
from caiman_pipeline.model.background import RingBackground
from caiman_pipeline.movies.store.parts import open_store
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import components_from_result
from caiman_pipeline.traces.dff import background_under

FACTS = {"frame_rate_hz": 20, "decay_time_s": 0.7, "cell_diameter": "8 px", "axes": "TYX"}
CONFIG = load_config({"recording": FACTS})


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(50, shape).astype(np.uint16)


def _blank_frames() -> np.ndarray:
    movie = _noise(130, 40, 52)
    movie[30:80] = 0
    return movie


def _half_black() -> np.ndarray:
    movie = _noise(130, 40, 52)
    movie[..., 26:] = 0
    return movie


def _nan_border() -> np.ndarray:
    return np.pad(_noise(130, 36, 46).astype(np.float32), ((0, 0), (1, 3), (2, 4)), constant_values=np.nan)


def _dead_columns() -> np.ndarray:
    movie = _noise(130, 40, 52)
    movie[..., 20:23] = 7
    movie[:, 11, 40] = 65535
    return movie


MOVIES = {
    "constant": lambda: np.full((130, 40, 52), 7, np.uint16),
    "black": lambda: np.zeros((130, 40, 52), np.uint16),
    "as short as allowed": lambda: _noise(50, 40, 52),
    "ninety frames": lambda: _noise(90, 40, 52),
    "smaller than a cell": lambda: _noise(130, 5, 7),
    "one pixel": lambda: _noise(130, 1, 1),
    "one row": lambda: _noise(130, 1, 60),
    "tiny values": lambda: _noise(130, 40, 52) * 1e-6,
    "far below zero": lambda: _noise(130, 40, 52).astype(np.int32) - 1_000_000,
    "half black": _half_black,
    "border of NaN": _nan_border,
    "blank frames": _blank_frames,
    "dead columns": _dead_columns,
}


class Chain:
    """Every stage of one recording, called one after another."""

    def __init__(self, folder: Path, config: Config = CONFIG, movie: str = "m.npy") -> None:
        self.folder, self.config, self.raw = folder, config, movie

    def verb(self, name: str, **files: str) -> None:
        """Run a stage's verb with its settings; underscores in ``files`` are dashes of its options."""
        arguments = [
            "--settings",
            json.dumps(resolve_stage(self.config, name.replace("-", "_"))),
            "--log",
            str(self.folder / "logs" / f"{name}.log"),
        ]
        for option, value in files.items():
            shown = value if option in ("recording", "block", "batch") else str(self.folder / value)
            arguments += [f"--{option.replace('_', '-')}", shown]
        run_verb(name, [*arguments, "--threads", "1"])

    def run(self) -> None:
        """Run them all."""
        info, movie, images = "movie_info.json", "movie.json", "images.h5"
        self.verb("inspect", recording="r", files=self.raw, movie_info=info, frames="frames.h5")
        self.verb("motion-template", movie_info=info, template="template.h5")
        block = {"block": "1-of-1", "output": "block"}
        self.verb("motion-correct", movie_info=info, template="template.h5", **block)
        joined = {"blocks": "block", "movie": movie, "motion": "motion.h5"}
        self.verb("memmap-join", movie_info=info, template="template.h5", **joined)
        self.verb("summary-images", movie=movie, images=images)
        self.verb("patch-cnmf", movie=movie, images=images, batch="1-of-1", output="batch.h5")
        self.verb("merge", batches="batch.h5", components="merged.h5")
        self.verb("refine", movie=movie, images=images, merged="merged.h5", components="components.h5")
        rest = {"movie_info": info, "components": "components.h5", "quality": "quality.h5"}
        self.verb("evaluate", movie=movie, motion="motion.h5", **rest)
        self.verb("traces", components="components.h5", traces="traces.h5")
        self.verb("select", movie_info=info, quality="quality.h5", selection="selection.h5")
        results = {n: f"{n}.h5" for n in ("motion", "components", "traces", "quality", "selection")} | {
            "images": images
        }
        self.verb("export-nwb", movie_info=info, **results, nwb="r.nwb", table="r.csv")
        pages = {"report": "r.html", "thumbnail": "r.jpg", "overview": "r.json"}
        self.verb("report", movie_info=info, frames="frames.h5", **results, **pages)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MOVIES)
def test_a_recording_with_hardly_anything_in_it_ends_whole(tmp_path, name):
    movie = MOVIES[name]()
    np.save(tmp_path / "m.npy", movie)
    Chain(tmp_path).run()
    with h5py.File(tmp_path / "r.nwb") as file:
        rois = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert not rois["Accepted"][()].any()
        traces = file["processing/ophys/DfOverF/RoiResponseSeries/data"]
        assert traces.shape == (len(movie), len(rois["id"]))
    assert "<html" in (tmp_path / "r.html").read_text()[:500]


def _cells_of_tall_pixels(places: list[tuple[float, float]]) -> np.ndarray:
    """Return a movie of round cells, 12 um across, in pixels 2.5 um high and 1 um wide, at ``places`` in um."""
    rng, n_frames, dims = np.random.default_rng(3), 400, (44, 96)
    y, x = np.indices(dims) * np.array([2.5, 1.0])[:, None, None]
    movie = np.full((n_frames, *dims), 200.0)
    for y_um, x_um in places:
        spikes = rng.random(n_frames) < 0.02
        calcium = np.convolve(spikes, np.exp(-np.arange(40) / 10))[:n_frames]
        shape = 1 / (1 + np.exp((np.hypot(y - y_um, x - x_um) - 6) / 0.6))
        movie += (40 + 120 * calcium)[:, None, None] * shape
    return (movie + rng.normal(0, 12, movie.shape)).round().astype(np.uint16)


def test_pixels_that_are_not_square_keep_both_sizes_from_file_to_nwb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [(20.0, 15.0), (22.0, 70.0), (48.0, 38.0), (55.0, 82.0), (85.0, 20.0), (92.0, 62.0)]
    metadata = {"axes": "TYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 2.5, "TimeIncrement": 0.05}
    tifffile.imwrite("m.ome.tif", _cells_of_tall_pixels(places), metadata=metadata)
    write_starter(Path(), Path(), Path("sheet.tsv"), {"decay_time_s": "0.5", "cell_diameter": "12 um"})
    recording = load_sheet("sheet.tsv", Config())["m"]
    assert check_recording(recording).problems == ()
    Chain(tmp_path, recording.config, "m.ome.tif").run()
    with open("r.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["accepted"] == "true"]
    found = np.array([(float(row["y_um"]), float(row["x_um"])) for row in rows])
    away = np.linalg.norm(found[:, None] - np.array(places)[None], axis=2)
    assert len(rows) == len(places)
    assert away.min(0).max() < 1.5
    assert max(float(row["elongation"]) for row in rows) < 1.4
    with h5py.File("r.nwb") as file:
        spacing = file["general/optophysiology/ImagingPlane/grid_spacing"]
        np.testing.assert_allclose(spacing[()], [1.0, 2.5])
        assert spacing.attrs["unit"] == "micrometers"
    assert "pixels 2.5 µm high, 1 µm wide" in Path("r.html").read_text()


TABLES = ("denoised", "deconvolved", "fluorescence", "background", "f0", "dff", "dff_denoised")
SPOILED = {"stripes": [60, 61, 200, 201, 340], "light leak": range(120, 170), "every eighth": range(3, 400, 8)}


def _spoil(movie: np.ndarray, kind: str) -> np.ndarray:
    """Return the movie with light in some frames that no cell sent out."""
    spoiled, (y, x) = movie.astype(np.int64), np.indices(movie.shape[1:])
    for t in SPOILED[kind]:
        light = 4000 * np.exp(-np.hypot(y - 12, x - 30) / 20) * (1 + 0.3 * np.sin(t / 2))
        spoiled[t] += light.astype(int) if kind == "light leak" else 3000 * ((x - 3 * t) % 44 < 4)
    return spoiled.astype(np.uint16)


def _still(bad_frames: tuple[str, ...] = ()) -> Config:
    facts = {**FACTS, "frame_rate_hz": RATE_HZ, "decay_time_s": DECAY_S}
    return load_config({"recording": facts, "motion": {"method": "none", "bad_frames": bad_frames}})


@pytest.fixture(scope="module")
def six_cells(tmp_path_factory):
    """Results of a movie of cells, all frames as they should be."""
    folder = tmp_path_factory.mktemp("whole")
    cells = plant((40, 64), [(8, 9), (9, 30), (10, 52), (28, 12), (29, 33), (30, 54)], n_frames=400)
    movie = (20 * np.moveaxis(cells.movie, -1, 0) + 100).round().astype(np.uint16)
    np.save(folder / "m.npy", movie)
    Chain(folder, _still()).run()
    return folder, movie


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", SPOILED)
def test_listed_frames_take_part_in_nothing_and_are_gaps_everywhere(tmp_path, six_cells, kind):
    clean, movie = six_cells
    spoiled = _spoil(movie, kind)
    spoiled[77], out = 0, np.zeros(400, bool)
    out[[77, *SPOILED[kind]]] = True
    np.save(tmp_path / "m.npy", spoiled)
    listed = tuple(str(t) for t in SPOILED[kind])
    Chain(tmp_path, _still(listed)).run()
    np.testing.assert_array_equal(~open_store(tmp_path / "movie.json").kept, out)
    images = load_result(tmp_path / "images.h5", "images")
    np.testing.assert_allclose(images["mean"], movie[~out].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(images["max"], movie[~out].max(0))
    (before, ids), (after, found) = (_accepted(folder) for folder in (clean, tmp_path))
    assert len(ids) == len(found) == 6
    alike = (before["footprints"].T @ after["footprints"]).toarray()
    assert alike.max(1).min() > 0.99
    for row, other in enumerate(alike.argmax(1)):
        assert np.corrcoef(before["dff"][row, ~out], after["dff"][other, ~out])[0, 1] > 0.98
        assert np.median(after["f0"][other, ~out] / before["f0"][row, ~out]) == pytest.approx(1, abs=0.02)
        assert after["snr"][other] == pytest.approx(before["snr"][row], rel=0.35)
        assert after["r_value"][other] > 0.9
    for name in ("denoised", "residual", *TABLES):
        np.testing.assert_array_equal(np.isnan(after[name]), np.broadcast_to(out, after[name].shape), err_msg=name)
    with h5py.File(tmp_path / "r.nwb") as file:
        for group in ("Fluorescence", "DfOverF"):
            for name, series in file[f"processing/ophys/{group}"].items():
                assert np.isnan(series["data"][()])[out].all(), name
                assert np.isfinite(series["data"][()])[~out].all(), name


def _accepted(folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    kinds = ("components", "traces", "quality", "selection")
    found = {kind: load_result(folder / f"{kind}.h5", kind) for kind in kinds}
    rows = np.flatnonzero(found["selection"]["accepted"])
    tables = {n: found["components"][n][rows] for n in ("denoised", "residual")}
    tables |= {n: found["traces"][n][rows] for n in TABLES[1:]}
    tables |= {n: found["quality"][n][rows] for n in ("snr", "r_value")}
    return {**tables, "footprints": found["components"]["footprints"][:, rows]}, found["components"]["ids"][rows]


def test_left_out_frames_are_gaps_in_nwb_and_named_in_it_and_in_the_report(tmp_path):
    movie = _blank_frames()
    np.save(tmp_path / "m.npy", movie)
    Chain(tmp_path, load_config({"recording": FACTS, "motion": {"bad_frames": ["100-101", "30"]}})).run()
    with h5py.File(tmp_path / "r.nwb") as file:
        table = file["intervals/invalid_times"]
        times = np.stack([table["start_time"][()], table["stop_time"][()]], axis=1) * 20
        np.testing.assert_allclose(times, [[30, 31], [31, 80], [100, 102]])
        assert [tag.decode() for tag in table["tags"][()]] == ["listed", "empty", "listed"]
    assert "52 of 130 (3 listed, 49 empty)" in (tmp_path / "r.html").read_text()


def test_a_ring_background_goes_through_every_stage(tmp_path):
    cells = plant((48, 60), [(10.0, 12.0), (14.0, 17.5), (13.0, 38.0), (33.0, 50.0), (38.0, 12.0)], neuropil=0.0)
    rng = np.random.default_rng(3)
    maps = np.stack([gaussian_filter(rng.normal(size=(48, 60)), 14) * 5 for _ in range(8)])
    wave = np.stack([np.convolve(rng.normal(size=640), np.ones(41), "valid") for _ in range(8)]) / 6
    movie = 10 * (cells.movie + 30 + np.tensordot(maps, wave, axes=(0, 0)))
    np.save(tmp_path / "m.npy", np.moveaxis(np.clip(movie, 0, None), -1, 0).astype(np.uint16))
    facts = {**FACTS, "frame_rate_hz": RATE_HZ, "decay_time_s": DECAY_S}
    ring = {"background": {"model": "ring"}}
    config = load_config({"recording": facts, "patch_cnmf": ring, "refine": ring, "select": {"use_classifier": False}})
    chain = Chain(tmp_path, config)
    chain.run()
    arrays = load_result(tmp_path / "components.h5", "components").arrays
    components = components_from_result(arrays)
    assert isinstance(components.background, RingBackground)
    raw = components.denoised + components.residual
    r = np.corrcoef(cells.traces, raw)[:5, 5:]
    assert np.sort(r.max(1))[1] > 0.8
    assert load_result(tmp_path / "quality.h5", "quality")["r_value"].max() > 0.8
    with h5py.File(tmp_path / "r.nwb") as file:
        assert file["processing/ophys/Fluorescence/Background/data"].shape == raw.T.shape


def test_hals_goes_on_from_a_ring_background(tmp_path):
    cells = plant((48, 60), [(13.0, 38.0), (33.0, 50.0)])
    np.save(tmp_path / "m.npy", np.moveaxis(20 * cells.movie, -1, 0).astype(np.uint16))
    facts = {**FACTS, "frame_rate_hz": RATE_HZ, "decay_time_s": DECAY_S}
    ring = {"background": {"model": "ring"}}
    Chain(tmp_path, load_config({"recording": facts, "patch_cnmf": ring, "refine": ring})).run()
    common = ["--movie", str(tmp_path / "movie.json"), "--images", str(tmp_path / "images.h5"), "--threads", "1"]
    run_verb("hals", [str(tmp_path / "components.h5"), *common, "--output", str(tmp_path / "again.h5")])
    first, again = (
        components_from_result(load_result(tmp_path / name, "components").arrays)
        for name in ("components.h5", "again.h5")
    )
    assert isinstance(again.background, RingBackground)
    assert abs(again.background.weights - first.background.weights).max() == 0
    light = [background_under(c.background, c.footprints.T.tocsr(), dark_level=0.0) for c in (first, again)]
    assert all(np.corrcoef(a, b)[0, 1] > 0.95 for a, b in zip(*light, strict=True))
    before, after = (np.corrcoef(cells.traces, c.denoised + c.residual)[:2, 2:].max(1) for c in (first, again))
    assert (after > before - 0.02).all()
    assert not np.array_equal(again.denoised, first.denoised)
