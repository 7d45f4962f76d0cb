"""Soma scores of components: which sizes they are judged by, and where there are none."""

import numpy as np
import pytest
from planted import CELL_PX, disc
from scipy.sparse import csc_matrix

from caiman_pipeline.config.evaluate import EvaluateSettings
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.select import SelectSettings
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.quality.classifier import Network, load_network
from caiman_pipeline.quality.crops import main_planes
from caiman_pipeline.quality.evaluate import footprint_sizes, soma_scores, wholeness
from caiman_pipeline.quality.in_pixels import make_thresholds
from caiman_pipeline.quality.shape import nesting

DIMS = (37, 53)


def components(dims: tuple[int, ...], *shapes: np.ndarray) -> Components:
    footprints = csc_matrix(np.stack([s.ravel() for s in shapes], axis=1).astype(np.float32))
    n, p = len(shapes), int(np.prod(dims))
    nothing = SummedBackground(np.zeros(p, np.float32), csc_matrix((p, 0)), np.zeros((0, 9), np.float32))
    traces = np.zeros((n, 9), np.float32)
    return Components(dims, np.arange(n), footprints, traces, traces, nothing, np.ones(p, np.float32))


def size_detector() -> Network:
    """Score the crop's mean brightness: the larger a footprint for its cell's diameter, the higher."""
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    one = np.ones((1, 1), np.float32)
    mean = np.array([[1.0], [0.0]], np.float32)
    return Network(((kernel, np.zeros(1, np.float32)),), (mean, np.zeros(1)), (one, np.zeros(1)), 1.0, 0.0)


def test_the_scale_that_suits_best_counts() -> None:
    cell = components(DIMS, disc(DIMS, (18, 26)), disc(DIMS, (9, 9)) * (np.arange(37 * 53) % 53 > 8))

    def scores(*scales: float) -> np.ndarray:
        return soma_scores(cell, size_detector(), cell_px=(CELL_PX, CELL_PX), scales=scales)

    assert (scores(0.5) > scores(1.0)).all()
    assert (scores(1.0) > scores(2.0)).all()
    np.testing.assert_array_equal(scores(2.0, 0.5, 1.0), scores(0.5))


def test_unasked_components_have_no_score() -> None:
    plane = components(DIMS, disc(DIMS, (18, 26)))
    assert np.isnan(soma_scores(plane, None, cell_px=(8.0, 8.0), scales=(1.0,))).all()


def test_a_volumes_components_are_judged_by_their_plane_of_most_weight() -> None:
    """A soma scores as in a plane, whatever dimmer shape it has beside it; a speck in every plane scores as a speck."""
    soma, speck, dim = disc(DIMS, (18, 26)), np.zeros(37 * 53), np.zeros(37 * 53)
    speck[18 * 53 + 26], dim[20 * 53 : 22 * 53] = 5.0, 0.05
    volume = components(
        (3, *DIMS), np.concatenate([dim, soma, 0 * soma]), np.concatenate([0.1 * dim, speck, 0.4 * soma / soma.max()])
    )
    found = soma_scores(volume, load_network(), cell_px=(2.0, CELL_PX, CELL_PX), scales=(1.0,))
    plane = soma_scores(components(DIMS, soma, speck), load_network(), cell_px=(CELL_PX, CELL_PX), scales=(1.0,))
    assert plane[0] > 0.9 > 0.1 > plane[1]
    np.testing.assert_array_equal(found[0], plane[0])


def test_the_plane_of_most_weight_is_a_plane_of_the_footprint() -> None:
    sums = np.array([[0.0, 3, 0, 1], [2, 0, 4, 0], [0, 3, 3, 0]]).T.reshape(4, 1, 3)  # planes x pixels x components
    shown = main_planes(csc_matrix((sums * np.ones((4, 5, 1))).reshape(20, 3)), (4, 1, 5))
    np.testing.assert_array_equal(shown.toarray(), np.ones((5, 1)) * [3, 4, 3])
    plane = csc_matrix(np.eye(4))
    assert main_planes(plane, (2, 2)) is plane


def test_of_a_moving_cell_and_a_piece_of_it_the_whole_stays_in_volumes() -> None:
    """The piece has the better signal to noise, from motion; in a plane that would decide."""
    whole = np.concatenate([disc(DIMS, (18, 26)), 0.6 * disc(DIMS, (18, 26)), np.zeros(37 * 53)])
    piece = np.concatenate([np.zeros(37 * 53), disc(DIMS, (19, 28)), np.zeros(37 * 53)])
    footprints = csc_matrix(np.stack([piece, whole], axis=1))
    measures = {
        "snr": np.array([9.0, 4.0]),
        "soma_score": np.array([0.9, np.nan]),
        "size_px": np.array([40.0, 80.0]),
        "r_value": np.array([0.88, 0.98]),
    }
    nested = nesting(footprints, (3, *DIMS), wholeness(3, **measures))
    assert nested[0] > 0.3
    assert nested[1] == 0
    np.testing.assert_allclose(wholeness(2, **measures), [8.1, 4.0])


def test_volumes_have_a_bound_of_their_own_on_nesting() -> None:
    recording = RecordingSettings(cell_diameter="2 x 8 x 8 px")
    settings = SelectSettings(max_nesting=0.45, max_nesting_volume=0.25)
    bounds = [make_thresholds(settings, recording, dims).max_nesting for dims in (DIMS, (3, *DIMS))]
    assert bounds == [0.45, 0.25]


def test_size_counts_pixels_above_half_the_peak() -> None:
    shape = np.zeros(DIMS)
    shape[4, 5:9] = [1.0, 0.6, 0.5, 0.1]
    assert list(footprint_sizes(components(DIMS, shape, np.zeros(DIMS)))) == [2, 0]


@pytest.mark.parametrize("scales", [[], [0.0], [1.0, 50.0]])
def test_scales_without_meaning_are_refused(scales: list[float]) -> None:
    with pytest.raises(PipelineError, match="scales"):
        validate(EvaluateSettings, {"scales": scales}, "evaluate")
