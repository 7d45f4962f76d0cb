"""What of a batch is left: by stages that are done, and how long they took against what was predicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from caiman_pipeline.batch.costs import COSTS, MovieSize
from caiman_pipeline.batch.job_records import JobRecord, now, record_of
from caiman_pipeline.batch.progress import batch_status
from caiman_pipeline.model.movie import MovieInfo, SourceFile
from caiman_pipeline.results.records import save_movie_info

DIMS, FRAMES = (256, 300), 5000
SIZE = MovieSize(FRAMES, DIMS, 4)
EXPECTED = {stage: cost.start_s + cost.core_seconds(SIZE) for stage, cost in COSTS.items()}


def inspected(folder: Path) -> None:
    source = SourceFile("m.tif", FRAMES, 1, 1)
    info = MovieInfo(folder.name, (source,), None, None, DIMS, "u2", 30.0, 0.0, 9.0, 0.0, (), ((0, 0), (0, 0)), ())
    save_movie_info(folder / "inspect/movie_info.json", info)


def job(folder: Path, name: str, *, state: str = "done", seconds: float = 1.0) -> None:
    stage, _, item = name.partition(".")
    record = JobRecord(
        stage, folder.name, item, state=state, process_space="elsewhere", host="n1", seconds=seconds, updated=now()
    )
    path = record_of(folder / "logs" / f"{name}.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.as_json())


def left(*stages: str) -> float:
    return sum(seconds for stage, seconds in EXPECTED.items() if stage not in stages)


def test_of_a_recording_half_done_the_other_half_is_left(tmp_path: Path) -> None:
    inspected(tmp_path / "rec")
    for stage in ("inspect", "motion_template"):
        job(tmp_path / "rec", stage, seconds=EXPECTED[stage])
    for item in ("1-of-2", "2-of-2"):
        job(tmp_path / "rec", f"motion_correct.{item}", seconds=EXPECTED["motion_correct"] / 2)
    status = batch_status(tmp_path, ["rec"])
    assert status.remaining_s == pytest.approx(left("inspect", "motion_template", "motion_correct"))
    assert (status.standings["waiting"], status.eta_s) == (1, None)


def test_a_stage_is_done_when_all_of_its_jobs_are(tmp_path: Path) -> None:
    inspected(tmp_path / "rec")
    job(tmp_path / "rec", "inspect", seconds=EXPECTED["inspect"])
    job(tmp_path / "rec", "motion_correct.1-of-2", seconds=EXPECTED["motion_correct"] / 2)
    job(tmp_path / "rec", "motion_correct.2-of-2", state="running")
    status = batch_status(tmp_path, ["rec"])
    assert status.remaining_s == pytest.approx(left("inspect"))
    assert status.eta_s == status.remaining_s
    job(tmp_path / "rec", "motion_template", state="running")
    assert batch_status(tmp_path, ["rec"]).eta_s == pytest.approx(status.remaining_s / 2)


def test_what_is_left_takes_as_much_longer_as_what_is_done(tmp_path: Path) -> None:
    inspected(tmp_path / "rec")
    job(tmp_path / "rec", "inspect", seconds=3 * EXPECTED["inspect"])
    job(tmp_path / "rec", "motion_template", seconds=3 * EXPECTED["motion_template"])
    assert batch_status(tmp_path, ["rec"]).remaining_s == pytest.approx(3 * left("inspect", "motion_template"))


def test_what_failed_is_listed_and_no_work_that_is_left(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        inspected(tmp_path / name)
        job(tmp_path / name, "inspect", seconds=EXPECTED["inspect"])
    record = JobRecord(
        "motion_template", "bad", state="failed", reason="frame 7 broke", process_space="e", updated=now()
    )
    record_of(tmp_path / "bad/logs/motion_template.log").write_text(record.as_json())
    status = batch_status(tmp_path, ["good", "bad"])
    assert status.failed == (("bad", "motion_template: frame 7 broke"),)
    assert status.standings == {"done": 0, "running": 0, "failed": 1, "waiting": 1}
    assert status.remaining_s == pytest.approx(left("inspect"))
