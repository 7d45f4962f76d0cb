from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.batch.costs import COSTS, cost_of, layout_of
from caiman_pipeline.batch.planning import (
    MARGIN,
    MovieSize,
    add_up,
    batch_memory_mb,
    disk_mb,
    job_threads,
    plan_recording,
    predict_memory_mb,
    size_of_files,
    sized,
)
from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.config.patch_cnmf import PatchSettings
from caiman_pipeline.config.root import Config, resolve_stage
from caiman_pipeline.extraction.tiles.in_pixels import plan_search
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import MovieInfo, Reading, SourceFile
from caiman_pipeline.results.job_settings import load_stage
from caiman_pipeline.results.records import save_movie_info
from caiman_pipeline.stages import SESSIONS, STAGES

ROOT = Path(__file__).parents[3]
SIZE = MovieSize(3000, (256, 300), 2)


def _rules():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for text in re.split(r"\n(?=rule )", path.read_text()):
            if found := re.match(r"rule (\w+):", text):
                yield found[1], text


def test_every_stage_has_a_cost_and_every_cost_a_stage():
    assert [id(cost_of(stage)) for stage in STAGES] == [id(cost) for cost in COSTS.values()]


def test_every_rule_takes_threads_and_memory_from_the_registry():
    known = {**STAGES, SESSIONS.name: SESSIONS}
    for stage, text in _rules():
        asked = "threads: " in text
        assert asked == (known[stage].threads > 1), stage
        assert not re.search(r"threads: \d", text), stage
        assert f'memory_mb("{stage}")' in text
        assert bool(known[stage].scatter) == (f'threads_beside_others("{stage}")' in text), stage


def test_memory_does_not_grow_with_the_length_of_the_movie_itself():
    longer = MovieSize(4 * SIZE.n_frames, SIZE.dims, 2)
    for stage in ("inspect", "motion_template", "motion_correct", "summary_images"):
        assert COSTS[stage].memory_mb(longer, 2) == pytest.approx(COSTS[stage].memory_mb(SIZE, 2), rel=0.03)


def _layout(**changes):
    facts = {"frame_rate_hz": 30, "decay_time_s": 0.45, "cell_diameter": "11 px"}
    sections = {"recording": {**facts, **changes.pop("recording", {})}, **changes}
    return layout_of(Config.model_validate(sections))


LONG = MovieSize(100_000, (256, 270), 2)


@pytest.mark.parametrize("stage", COSTS)
def test_no_stage_holds_a_sample_per_frame_of_every_component(stage):
    def growth(diameter):
        layout = _layout(recording={"cell_diameter": f"{diameter} px"})
        sizes = (MovieSize(n, (256, 270), 2, layout) for n in (100_000, 1_000_000))
        few, many = (COSTS[stage].memory_mb(size, 2) for size in sizes)
        return many - few

    assert growth(5) == pytest.approx(growth(15), abs=1)


def test_of_a_million_frames_the_search_holds_no_more_than_its_bins():
    short, long = (replace(LONG, n_frames=n) for n in (20_000, 1_000_000))
    assert COSTS["patch_cnmf"].memory_mb(long, 2) == pytest.approx(COSTS["patch_cnmf"].memory_mb(short, 2), rel=0.05)
    assert COSTS["patch_cnmf"].memory_mb(long, 2) < 700


@pytest.mark.parametrize(
    ("section", "key", "value", "stage"),
    [
        ("patch_cnmf", "max_bins", 8000, "merge"),
        ("patch_cnmf", "tile_size", "200 px", "patch_cnmf"),
        ("recording", "cell_diameter", "25 px", "patch_cnmf"),
        ("motion", "patch_spacing", "16 px", "motion_correct"),
    ],
)
def test_settings_that_cost_memory_are_counted(section, key, value, stage):
    usual, changed = (replace(LONG, layout=layout) for layout in (_layout(), _layout(**{section: {key: value}})))
    assert COSTS[stage].memory_mb(changed, 2) > 1.02 * COSTS[stage].memory_mb(usual, 2)


def test_motion_of_the_whole_frame_holds_no_local_displacement():
    assert replace(LONG, layout=_layout(motion={"method": "rigid"})).field_mb == 0
    assert replace(LONG, layout=_layout()).field_mb == pytest.approx(100_000 * 9 * 9 * 2 * 4 / 1e6, rel=0.2)


@pytest.mark.parametrize(("n_frames", "dims"), [(400, (64, 90)), (3000, (512, 480)), (100_000, (256, 270))])
@pytest.mark.parametrize("tile", [None, "70 px"])
def test_tiles_are_those_of_the_search(n_frames, dims, tile):
    config = Config.model_validate(
        {
            "recording": {"frame_rate_hz": 30, "decay_time_s": 0.45, "cell_diameter": "11 px"},
            "patch_cnmf": {"tile_size": tile} if tile else {},
        }
    )
    settings = resolve_stage(config, "patch_cnmf")
    search = plan_search(*load_stage("patch_cnmf", PatchSettings, json.dumps(settings)), dims, n_frames)
    size = MovieSize(n_frames, dims, 2, layout_of(config))
    assert size.n_tiles == len(search.grid.tiles)
    assert size.n_bins == n_frames // search.bin_frames
    largest = max(math.prod(t.shape) for t in search.grid.tiles)
    assert math.prod(size.tile_px) == pytest.approx(largest, rel=0.3)


def test_lengths_that_do_not_fit_the_movie_leave_the_prediction_to_its_size():
    layout = _layout(recording={"cell_diameter": "9 x 11 px"})
    assert sized(LONG, layout).layout is layout
    volume = MovieSize(500, (5, 60, 70), 2)
    assert sized(volume, layout) == volume
    assert COSTS["patch_cnmf"].memory_mb(volume, 1) > 0


def test_memory_grows_with_the_frame_and_with_threads():
    larger = MovieSize(SIZE.n_frames, (1024, 1024), 2)
    assert COSTS["motion_template"].memory_mb(larger, 2) > COSTS["motion_template"].memory_mb(SIZE, 2)
    assert COSTS["inspect"].memory_mb(SIZE, 8) > COSTS["inspect"].memory_mb(SIZE, 1)


def test_a_rule_asks_for_what_the_inspected_recording_needs(tmp_path):
    info = MovieInfo(
        "m",
        (SourceFile("m.tif", 3000, 1, 1),),
        None,
        None,
        (256, 300),
        "uint16",
        30.0,
        0.0,
        9.0,
        0.0,
        (),
        ((0, 0), (0, 0)),
        (),
    )
    save_movie_info(tmp_path / "info.json", info)
    asked = predict_memory_mb("refine", tmp_path / "info.json", 2, layout=None)
    assert asked == pytest.approx(MARGIN * COSTS["refine"].memory_mb(SIZE, 2), abs=1)
    assert isinstance(asked, int)


def test_before_inspection_a_large_field_is_assumed(tmp_path):
    assert predict_memory_mb("refine", tmp_path / "none.json", 2, layout=None) > COSTS["refine"].memory_mb(SIZE, 2)


def test_the_store_is_most_of_the_disk():
    disk = disk_mb(SIZE)
    assert disk["motion_correct"] == pytest.approx(3000 * 256 * 300 * 4 / 1e6)
    assert disk["motion_correct"] > 0.5 * sum(disk.values())


def test_a_plan_has_a_row_per_stage_and_as_many_jobs_as_pieces():
    plan = {row.stage: row for row in plan_recording(SIZE, cores=8, scatter={"blocks": 4, "tiles": 3})}
    assert list(plan) == list(COSTS)
    assert (plan["motion_correct"].jobs, plan["patch_cnmf"].jobs, plan["refine"].jobs) == (4, 3, 1)


@pytest.mark.parametrize(("jobs", "cores", "threads"), [(1, 8, 4), (1, 2, 2), (2, 8, 4), (4, 8, 2), (16, 8, 1)])
def test_jobs_that_fill_the_machine_take_fewer_threads_each(jobs, cores, threads):
    assert job_threads(4, jobs=jobs, cores=cores) == threads
    one, many = (plan_recording(SIZE, cores=8, scatter={"tiles": n}) for n in (1, 16))
    memory = [{row.stage: row.memory_mb for row in plan}["patch_cnmf"] for plan in (one, many)]
    assert memory[1] < memory[0]


def test_more_cores_take_less_time():
    few, many = (plan_recording(SIZE, cores=n, scatter={"blocks": 4}) for n in (1, 16))
    assert sum(r.seconds for r in many) < sum(r.seconds for r in few)


def test_recordings_add_up_and_the_largest_job_counts_for_memory():
    small = plan_recording(MovieSize(100, (64, 48), 2), cores=2, scatter={})
    large = plan_recording(SIZE, cores=2, scatter={})
    for row, a, b in zip(add_up([small, large]), small, large, strict=True):
        assert row.jobs == a.jobs + b.jobs
        assert row.memory_mb == max(a.memory_mb, b.memory_mb)
        assert row.disk_mb == a.disk_mb + b.disk_mb


@pytest.mark.parametrize(
    ("needed", "cores", "given"),
    [(100, 1, 2048), (2049, 1, 3072), (9000, 2, 9216), (500, 4, 8192), (99_000, 4, 30720), (17_000, 8, 20480)],
)
def test_batch_memory_is_a_size_that_the_service_gives(needed, cores, given):
    assert batch_memory_mb(needed, cores) == given


def test_what_cannot_fit_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "m.npy", np.zeros((70, 20, 31), np.uint8))
    header = "recording\tfiles\taxes\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsession_start\n"
    row = "m\tm.npy\tTYX\t30\t0.45\t9 px\t2024-05-17T09:30:00+02:00\n"
    (tmp_path / "s.tsv").write_text(header + row)
    run_verb("plan", ["--sheet", "s.tsv"])
    with pytest.raises(PipelineError, match=r"1 problem\(s\)"):
        run_verb("plan", ["--sheet", "s.tsv", "--memory-mb", "100"])
    assert "and a machine has 100" in capsys.readouterr().out
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(PipelineError, match=r"1 problem\(s\)"):
        run_verb("plan", ["--sheet", "s.tsv"])
    assert "GB are needed" in capsys.readouterr().out


def test_size_comes_from_the_headers(tmp_path):
    files = [str(tmp_path / name) for name in ("m1.npy", "m2.npy")]
    for file in files:
        np.save(file, np.zeros((7, 20, 31), np.uint8))
    assert size_of_files(files, Reading("TYX")) == MovieSize(14, (20, 31), 1)
    with pytest.raises(PipelineError, match="no files"):
        size_of_files([], Reading())


def test_the_plan_is_within_a_sixth_of_what_was_measured():
    """Peak memory of every stage of every recording that was measured (bench_plan.py), and the recording's disk."""
    with (ROOT / "tests/benchmarks/plan_measurements.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    kinds, stages = {}, set()
    for r in rows:
        facts = {"frame_rate_hz": r["rate_hz"], "decay_time_s": r["decay_s"], "cell_diameter": f"{r['cell_px']} px"}
        layout = _layout(recording=facts, motion={"patch_spacing": f"{r['node_px']} px"})
        size = MovieSize(int(r["frames"]), (int(r["rows"]), int(r["columns"])), 2, layout)
        predicted = COSTS[r["stage"]].memory_mb(size, int(r["threads"]))
        assert predicted == pytest.approx(float(r["memory_mb"]), rel=0.15), r
        kinds.setdefault(size, {})[r["stage"]] = float(r["disk_mb"])
        stages.add(r["stage"])
    assert stages == set(COSTS)
    assert max(size.n_frames for size in kinds) >= 100_000
    assert max(size.n_cells for size in kinds) > 200
    for size, disk in ((size, disk) for size, disk in kinds.items() if disk.get("motion_correct")):
        expected = {stage: mb for stage, mb in disk_mb(size).items() if stage in disk}
        assert sum(expected.values()) == pytest.approx(sum(disk[stage] for stage in expected), rel=0.25)


def test_a_long_dense_recording_stays_below_700_mb():
    size = MovieSize(100_000, (256, 256), 2, _layout(recording={"cell_diameter": "8 px"}))
    assert {stage: mb for stage, cost in COSTS.items() if (mb := cost.memory_mb(size, 2)) > 700} == {}
