"""The same cells over the recordings of one field: one of them broken, added later, corrected by hand."""

import csv
import subprocess
from collections import defaultdict

import h5py
import numpy as np
import pytest
import tifffile

from tests.workflow.conftest import BIN, Workflow, simulate

FACTS = "recording\tfiles\tframe_rate_hz\tdecay_time_s\tcell_diameter\tsubject_id\tfield"
ROW = "{name}\t{name}.tif\t30\t0.45\t9 px\tm1\tV1 deep"
OFFSETS = {"day1": (0, 0), "day2": (4, 3), "day3": (1, 6), "day4": (6, 1)}
GROUP = "results/sessions/m1_V1-deep"


class Field(Workflow):
    def sheet(self, *names: str) -> None:
        (self.folder / "recordings.tsv").write_text("\n".join([FACTS, *(ROW.format(name=n) for n in names)]) + "\n")

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the workflow as `caiman-pipeline run` does; returns the status and all that it printed."""
        command = [BIN / "caiman-pipeline", "run", "--cores", "2", "--keep-going", *arguments]
        command += ["--config", "paths={recordings: recordings.tsv}"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900
        )
        return done.returncode, done.stdout + done.stderr

    def cells(self) -> dict[int, dict[str, int]]:
        """Return the component of each recording that is each cell."""
        found = defaultdict(dict)
        with (self.folder / GROUP / "cells.csv").open() as file:
            for row in csv.DictReader(file):
                found[int(row["cell"])][row["recording"]] = int(row["component"])
        return dict(found)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Three parts in time of one simulated movie, each cut out of it at another place; one file is broken."""
    folder = tmp_path_factory.mktemp("sessions")
    whole = simulate(
        folder / "whole.tif", "--frames", "3600", "--dims", "92x116", "--n-cells", "26", "--cell-diameter-px", "9",
        "--rigid-px", "1", "--nonrigid-px", "0.3", "--spike-rate-hz", "0.5", "--bleach", "0",
    )  # fmt: skip
    movie = tifffile.imread(whole)
    for i, (name, (dy, dx)) in enumerate(OFFSETS.items()):
        tifffile.imwrite(folder / f"{name}.tif", movie[900 * i : 900 * (i + 1), dy : dy + 84, dx : dx + 108])
    (folder / "broken.tif").write_bytes((folder / "day1.tif").read_bytes()[:200])
    made = Field(folder)
    made.sheet("day1", "day2", "broken", "day3")
    made.first = made.run()
    made.first_cells = made.cells()
    return made


def _centres(field, name):
    with h5py.File(field.folder / f"results/{name}/refine/components.h5") as file:
        ids, dims = file["ids"][()], tuple(file["dims"][()])
        group = file["footprints"]
        data, rows, starts = (group[k][()] for k in ("data", "indices", "indptr"))
    where = np.stack(np.unravel_index(rows, dims), 1)
    return {
        int(k): np.average(where[a:b], axis=0, weights=data[a:b])
        for k, a, b in zip(ids, starts[:-1], starts[1:], strict=True)
    }


def test_a_run_with_a_broken_recording_tracks_the_others_and_names_it(field):
    status, output = field.first
    assert status != 0
    assert "Tracking cells over the recordings that are done" in output
    cells = field.first_cells
    tracked = [c for c in cells.values() if len(c) > 1]
    assert len(tracked) >= 10
    assert all(set(c) <= {"day1", "day2", "day3"} for c in cells.values())
    page = (field.folder / GROUP / "cells.html").read_text()
    assert "broken" in page
    assert "no results: it failed, or was not run" in page
    with h5py.File(field.folder / GROUP / "cells.h5") as file:
        assert list(file["left_out"].asstr()) == ["broken"]


def test_tracked_components_lie_at_the_same_place_of_the_tissue(field):
    centres = {n: _centres(field, n) for n in ("day1", "day2", "day3")}
    for members in field.first_cells.values():
        places = [centres[n][k] + OFFSETS[n] for n, k in members.items()]
        assert np.ptp(places, axis=0).max() < 3.0


def test_plain_snakemake_says_what_to_call(field):
    (field.folder / GROUP / "cells.h5").rename(field.folder / "kept.h5")
    output = field.snakemake("--keep-going", ok=False)
    assert "--until sessions --config 'sessions={recordings: done}'" in output
    (field.folder / "kept.h5").rename(field.folder / GROUP / "cells.h5")


def test_a_session_added_later_changes_no_number_and_runs_only_its_group(field):
    field.sheet("day1", "day2", "day3", "day4")
    planned = field.planned()
    assert planned["sessions"] == 1
    assert planned["inspect"] == planned["refine"] == 1
    status, output = field.run()
    assert status == 0, output[-3000:]
    cells = field.cells()
    assert any("day4" in c and len(c) > 2 for c in cells.values())
    before = {m: k for k, c in field.first_cells.items() if len(c) > 1 for m in c.items()}
    now = {m: k for k, c in cells.items() for m in c.items()}
    assert before.items() <= now.items()
    assert not field.planned()


def test_corrections_by_hand_are_applied_and_only_the_group_runs_again(field):
    cells = field.cells()
    number, members = next((k, c) for k, c in sorted(cells.items()) if len(c) == 4)
    lines = ["group,action,cell,recording,component", f"m1_V1-deep,cut,{number},day2,{members['day2']}"]
    (field.folder / "corrections.csv").write_text("\n".join(lines) + "\n")
    settings = ("--config", "sessions={corrections: corrections.csv}")
    assert field.planned(*settings) == {"sessions": 1}
    field.snakemake(*settings)
    after = field.cells()
    assert "day2" not in after[number]
    alone = next(k for k, c in after.items() if c.get("day2") == members["day2"])
    assert alone > max(cells)
    assert len(after[alone]) == 1
