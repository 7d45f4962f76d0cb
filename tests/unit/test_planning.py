from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.records import save_movie_info
from caiman_pipeline.planning import (
    COSTS,
    MARGIN,
    SCATTERED,
    THREADS,
    MovieSize,
    add_up,
    batch_memory_mb,
    disk_mb,
    job_threads,
    plan_recording,
    predict_memory_mb,
    size_of_files,
)
from caiman_pipeline.types import MovieInfo, Reading, SourceFile

ROOT = Path(__file__).parents[2]
SIZE = MovieSize(3000, (256, 300), 2)


def _rules():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for text in re.split(r"\n(?=rule )", path.read_text()):
            if found := re.match(r"rule (\w+):", text):
                yield found[1], text


def test_every_rule_has_a_cost_and_threads_as_declared():
    rules = dict(_rules())
    assert set(rules) == set(COSTS)
    for stage, text in rules.items():
        declared = re.search(r"threads: (?:threads_beside_others\()?(\d+)", text)
        assert THREADS.get(stage, 1) == (int(declared[1]) if declared else 1), stage
        assert f'memory_mb("{stage}")' in text
        assert (stage in SCATTERED) == ("scatteritem" in text), stage


def test_memory_does_not_grow_with_the_length_of_the_movie_itself():
    longer = MovieSize(4 * SIZE.n_frames, SIZE.dims, 2)
    for stage in ("inspect", "motion_template", "motion_correct", "summary_images"):
        assert COSTS[stage].memory_mb(longer, 2) == COSTS[stage].memory_mb(SIZE, 2)


def test_memory_grows_with_the_frame_and_with_threads():
    larger = MovieSize(SIZE.n_frames, (1024, 1024), 2)
    assert COSTS["motion_template"].memory_mb(larger, 2) > COSTS["motion_template"].memory_mb(SIZE, 2)
    assert COSTS["inspect"].memory_mb(SIZE, 8) > COSTS["inspect"].memory_mb(SIZE, 1)


def test_a_rule_asks_for_what_the_inspected_recording_needs(tmp_path):
    info = MovieInfo(
        "m", (SourceFile("m.tif", 3000, 1, 1),), None, None, (256, 300), "uint16", 30.0, 0.0, 9.0, 0.0, (),
        ((0, 0), (0, 0)), (),
    )  # fmt: skip
    save_movie_info(tmp_path / "info.json", info)
    asked = predict_memory_mb("refine", tmp_path / "info.json", 2)
    assert asked == pytest.approx(MARGIN * COSTS["refine"].memory_mb(SIZE, 2), abs=1)
    assert isinstance(asked, int)


def test_before_inspection_a_large_field_is_assumed(tmp_path):
    assert predict_memory_mb("refine", tmp_path / "none.json", 2) > COSTS["refine"].memory_mb(SIZE, 2)


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


def test_the_plan_is_within_a_quarter_of_what_was_measured():
    """Peak memory of every recording that was measured (bench_plan.py), and its disk."""
    with (ROOT / "tests/benchmarks/plan_measurements.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    sizes = {(r["frames"], r["rows"], r["columns"]) for r in rows}
    assert len(sizes) >= 3
    for frames, height, width in sizes:
        size = MovieSize(int(frames), (int(height), int(width)), 2)
        measured = [r for r in rows if (r["frames"], r["rows"], r["columns"]) == (frames, height, width)]
        peak = max(COSTS[r["stage"]].memory_mb(size, int(r["threads"])) for r in measured)
        assert peak == pytest.approx(max(float(r["memory_mb"]) for r in measured), rel=0.25)
        assert sum(disk_mb(size).values()) == pytest.approx(sum(float(r["disk_mb"]) for r in measured), rel=0.25)
