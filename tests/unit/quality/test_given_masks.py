"""Components of masks that were given are accepted, unless they are to be judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caiman_pipeline.cli.main import run_verb
from caiman_pipeline.results.files import load_result
from tests.unit.conftest import save_outcome


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("n_masks", [0, 3])
def test_given_masks_are_accepted_unless_a_threshold_is_to_hold_for_them(tmp_path, make_outcome, judged, n_masks):
    import h5py

    paths = save_outcome(make_outcome(), tmp_path)
    with h5py.File(paths["components"], "a") as file:
        ids = np.sort(file["ids"][()])
        file["n_masks"] = n_masks and int(ids[n_masks - 1]) + 1  # ids of masks are the lowest
    settings = {
        "recording": {"cell_diameter": "9 px"},
        "judge_masks": judged,
        "min_snr": 1e6,
        "min_r_value": 1,
        "use_classifier": False,
    }
    run_verb(
        "select",
        [
            "--movie-info",
            str(paths["movie_info"]),
            "--quality",
            str(paths["quality"]),
            "--components",
            str(paths["components"]),
            "--selection",
            str(tmp_path / "s.h5"),
            "--settings",
            json.dumps(settings),
        ],
    )
    found = load_result(tmp_path / "s.h5", "selection")
    accepted = {int(i) for i, ok in zip(found["ids"], found["accepted"], strict=True) if ok}
    assert accepted == (set() if judged else set(ids[:n_masks].tolist()))
    given = [r for r, ok in zip(found["reasons"], found["accepted"], strict=True) if ok]
    assert set(given) <= {"its mask was given"}
