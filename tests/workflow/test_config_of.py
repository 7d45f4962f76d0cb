"""A config and a sheet written back from NWB files make the same results again, bit for bit."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import BIN, Workflow, numbers, simulate

MOVIE = ("--frames", "640", "--dims", "48x60", "--n-cells", "5", "--cell-diameter-px", "9", "--rigid-px", "2")
CONFIG = """\
recording: {species: Danio rerio, pixel_size_um: 1.25}
inspect: {min_frames: 60}
motion: {max_shift: 9 um, method: rigid, border: min}
summary_images: {average_s: 0.3, noise_method: median}
patch_cnmf: {searches: 1, components: 4 per tile, background: {spacing: 2.5}}
merge: {min_correlation: 0.7}
refine: {rounds: 2, footprints: {median_px: 3}}
evaluate: {classifier: false, margin: 0.5 cells}
traces: {order: 2, f0_window_s: 10}
select: {min_snr: 2.0, max_nesting: null}
"""
SHEET = """\
recording|files|frame_rate_hz|decay_time_s|cell_diameter|indicator|session_start|\
select.min_size|motion.high_pass|motion.bad_frames
a|movies/a.tif|30|0.45|11.25 um|GCaMP6f|2024-05-17T09:30:00+02:00|0.05||['17', '40-42']
b|movies/b.tif|20|0.6|9 px||||6 px|
""".replace("|", "\t")


def config_of(folder, *arguments):
    command = [BIN / "caiman-pipeline", "config-of", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def first(workflow: Workflow) -> Workflow:
    """Two recordings, analysed with settings of their own and settings that they share."""
    for name, seed in (("a", "1"), ("b", "2")):
        truth = str(workflow.folder / f"{name}.h5")
        simulate(workflow.folder / f"movies/{name}.tif", *MOVIE, "--seed", seed, "--truth", truth)
    (workflow.folder / "config").mkdir()
    (workflow.folder / "config/config.yaml").write_text(CONFIG)
    (workflow.folder / "config/recordings.tsv").write_text(SHEET)
    workflow.snakemake(sheet="config/recordings.tsv")
    return workflow


def test_what_an_nwb_file_says_of_its_run_makes_it_again_bit_for_bit(first, tmp_path_factory):
    again = Workflow(tmp_path_factory.mktemp("again"))
    files = [f"{first.folder}/results/{name}/export_nwb/{name}.nwb" for name in "ab"]
    done = config_of(again.folder, *files, "--files", f"{first.folder}/movies")
    assert done.returncode == 0, done.stderr
    assert "look at this" not in done.stdout
    again.snakemake("--set-scatter", "blocks=2", sheet="config/recordings.tsv")
    for name in "ab":
        results = [w.folder / "results" / name for w in (first, again)]
        expected, found = map(numbers, results)
        assert len(expected) > 30
        differing = {k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)}
        assert not {k for k in differing if not k.startswith("motion/blocks/")}
        for file in (f"export_nwb/{name}.nwb", f"report/{name}.html"):
            assert (results[0] / file).read_bytes() == (results[1] / file).read_bytes(), file
    changed = first.folder / "movies/a.tif"
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    refused = config_of(first.folder, files[0], "--files", "movies", "--config", "c.yaml", "--sheet", "s.tsv")
    assert "holds other bytes than the file that" in refused.stderr
    assert "never overwritten" in config_of(again.folder, files[1]).stderr
