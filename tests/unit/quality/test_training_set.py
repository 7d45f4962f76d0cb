"""Labels of found components by the true somata that they overlap."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.quality.training_set import label_components

DIMS = (24, 40)


def boxes(*places: tuple[slice, slice]) -> csc_matrix:
    images = np.zeros((len(places), *DIMS), np.float32)
    for image, place in zip(images, places, strict=True):
        image[place] = 1
    return csc_matrix(images.reshape(len(places), -1).T)


def test_a_component_is_a_soma_by_the_one_that_it_shares_most_with() -> None:
    true = boxes((slice(2, 12), slice(2, 12)), (slice(2, 12), slice(22, 32)), (slice(14, 22), slice(2, 38)))
    found = boxes(
        (slice(2, 12), slice(3, 13)),  # 9 of 11 columns shared with the first
        (slice(2, 12), slice(23, 29)),  # 6 of 10 of the second, of which the next shares more
        (slice(2, 12), slice(22, 31)),
        (slice(2, 12), slice(9, 14)),  # 3 of 12 columns: neither
        (slice(14, 22), slice(2, 38)),  # a dendrite
        (slice(2, 12), slice(11, 21)),  # 1 of 19
    )
    labels = label_components(found, true, np.array([False, False, True]), DIMS)
    assert labels.tolist() == [1, -1, 1, -1, 0, 0]


def test_without_true_somata_nothing_is_one() -> None:
    true = boxes((slice(2, 12), slice(2, 12)))
    assert label_components(true, true, np.array([True]), DIMS).tolist() == [0]
    assert label_components(true[:, :0], true, np.array([False]), DIMS).tolist() == []
