"""One small recording, analysed by the verbs in the folders of the workflow."""

import json

import pytest
from recorded import SETTINGS

from caiman_pipeline import SimulationSettings, simulate
from caiman_pipeline.cli.main import main
from caiman_pipeline.config.root import load_config, resolve_stage


def _verbs(folder):
    out = folder / "results/asym"
    info, template, block = out / "inspect/movie_info.json", out / "motion/template.h5", out / "motion/blocks/1-of-1"
    movie, motion, images = out / "movie/movie.json", out / "motion/motion.h5", out / "summary_images/images.h5"
    merged, components = out / "merge/components.h5", out / "refine/components.h5"
    quality, selection = out / "evaluate/quality.h5", out / "select/selection.h5"
    batch, traces = out / "patch_cnmf/1-of-1.h5", out / "traces/traces.h5"
    given, parts = {"movie_info": info}, {"template": template, "output": block, "block": "1-of-1"}
    yield "inspect", {"recording": "asym", "files": folder / "raw.tif", "frames": out / "f.h5", **given}
    yield "motion-template", {"template": template, **given}
    yield "motion-correct", {**parts, **given}
    yield "memmap-join", {"template": template, "blocks": block, "movie": movie, "motion": motion, **given}
    seen = {"movie": movie, "images": images}
    yield "summary-images", seen
    yield "patch-cnmf", {**seen, "batch": "1-of-1", "output": batch}
    yield "merge", {"batches": batch, "components": merged}
    yield "refine", {**seen, "merged": merged, "components": components}
    measured = {"components": components, "quality": quality, **given}
    yield "evaluate", {"movie": movie, "motion": motion, **measured}
    yield "traces", {"components": components, "traces": traces}
    yield "select", {**measured, "selection": selection}


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """A folder with ``raw.tif``, ``truth.h5`` and ``results/asym``."""
    folder = tmp_path_factory.mktemp("recording")
    settings = SimulationSettings(
        frames=420,
        dims=(48, 66),
        n_cells=5,
        frame_rate_hz=20.0,
        decay_time_s=0.5,
        cell_diameter_px=8.0,
        spike_rate_hz=0.5,
        nonrigid_px=0.0,
        rigid_px=2.5,
        photons=40.0,
        seed=3,
    )
    simulate(folder / "raw.tif", settings, truth=folder / "truth.h5")
    config = load_config(SETTINGS)
    for verb, files in _verbs(folder):
        for path in files.values():
            if not isinstance(path, str):
                path.parent.mkdir(parents=True, exist_ok=True)
        options = [str(x) for name, v in files.items() for x in (f"--{name.replace('_', '-')}", v)]
        settings = json.dumps(resolve_stage(config, verb.replace("-", "_")))
        status = main([verb, *options, "--settings", settings, "--threads", "1", "--log", str(folder / f"{verb}.log")])
        assert not status, (folder / f"{verb}.log").read_text()
    return folder
